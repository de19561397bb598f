/*
 * sql.c
 *		Queries of pages: read only, and with a time limit, each of them.
 *
 * A page with a query that took too long says so and shows the rest.  If the
 * server is so slow that several do, the later ones are not even begun.
 */
#include "dashboard/dashboard.h"

#include <stdlib.h>
#include <string.h>

double
monotonic_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1000 + (double) t.tv_nsec / 1e6;
}

/* What our connections have besides what core/connect.c does; false: an error */
bool
page_prepare(PGconn *conn, Buffer *error)
{
	static const char *const sql =
	"SELECT pg_catalog.set_config(v.name, v.value, false) FROM (VALUES"
	" ('application_name', 'defer dashboard'), ('client_min_messages', 'warning'),"
	" ('default_transaction_read_only', 'on'), ('lock_timeout', '500ms'),"
	" ('idle_in_transaction_session_timeout', '10s'), ('jit', 'off'),"
	" ('max_parallel_workers_per_gather', '0'),"
	" ('statement_timeout', $1)) v (name, value)";
	char		timeout[20];
	const char *values[] = {timeout};
	PGresult   *res;
	bool		good;

	snprintf(timeout, sizeof(timeout), "%d", QUERY_TIMEOUT);
	res = query_try(conn, sql, 1, values);
	good = PQresultStatus(res) == PGRES_TUPLES_OK;
	if (!good)
		result_error(error, conn, res);
	PQclear(res);
	return good;
}

static void
set_timeout(PGconn *conn, int timeout)
{
	char		text[20];
	const char *values[] = {text};

	snprintf(text, sizeof(text), "%d", timeout);
	PQclear(query_try(conn, "SELECT pg_catalog.set_config('statement_timeout', $1, false)", 1, values));
}

/* One query; the result may be an error, which the page then shows */
PGresult *
page_query(Page *page, const char *sql, int n, const char *const *values)
{
	PGresult   *res;

	if (monotonic_ms() - page->begun > PAGE_TIMEOUT)
	{
		page->timed_out = true;
		return PQmakeEmptyPGresult(page->conn, PGRES_FATAL_ERROR);
	}
	res = query_try(page->conn, sql, n, values);
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
	{
		const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

		/* statement_timeout, lock_timeout */
		if (state != NULL && (strcmp(state, "57014") == 0 || strcmp(state, "55P03") == 0))
			page->timed_out = true;
		else if (page->problem.len == 0)
			result_error(&page->problem, page->conn, res);
	}
	return res;
}

/* The same with a limit of its own, in milliseconds */
PGresult *
page_query_within(Page *page, int timeout, const char *sql, int n, const char *const *values)
{
	PGresult   *res;

	set_timeout(page->conn, timeout);
	res = page_query(page, sql, n, values);
	set_timeout(page->conn, QUERY_TIMEOUT);
	return res;
}
