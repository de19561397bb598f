/*
 * query.c
 *		Queries of pages: read only, each with a time limit.
 *
 * A page says that a query took too long, and shows the rest.  On a very slow
 * server, where several take too long, the later queries are not begun.
 */
#include "dashboard/page.h"

#include <string.h>

#include "core/clock.h"

/* Set up a new connection for pages; false: error says why not */
bool
page_prepare_connection(PGconn *conn, Buffer *error)
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

	snprintf(timeout, sizeof(timeout), "%d", PAGE_QUERY_TIMEOUT);
	res = query_try(conn, sql, 1, values);
	good = result_good(res);
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

/* Execute a query; the result may be an error, which the page then shows */
PGresult *
page_query(Page *page, const char *sql, int n, const char *const *values)
{
	PGresult   *res;

	if (1000 * (clock_seconds() - page->begun) > PAGE_TIMEOUT)
	{
		page->timed_out = true;
		return PQmakeEmptyPGresult(page->conn, PGRES_FATAL_ERROR);
	}
	res = query_try(page->conn, sql, n, values);
	if (!result_good(res))
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

/* Execute a query with a time limit of its own, in milliseconds */
PGresult *
page_query_within(Page *page, int timeout, const char *sql, int n, const char *const *values)
{
	PGresult   *res;

	set_timeout(page->conn, timeout);
	res = page_query(page, sql, n, values);
	set_timeout(page->conn, PAGE_QUERY_TIMEOUT);
	return res;
}
