/*
 * query.c
 *		Queries, their results and their errors.
 */
#include "core/query.h"

#include <stdlib.h>
#include <string.h>

#include "core/report.h"
#include "core/text.h"

/* ------------------------------------------------------------------------
 * Results
 * ------------------------------------------------------------------------ */

/* Report whether a statement was executed without an error */
bool
result_good(const PGresult *res)
{
	ExecStatusType status = PQresultStatus(res);

	return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

/*
 * Append an error as psql shows it, made harmless, without a final line feed.
 * res NULL: the error of the connection.
 */
void
result_error(Buffer *out, PGconn *conn, const PGresult *res)
{
	static const struct
	{
		int			field;
		const char *label;
	}			fields[] = {
		{PG_DIAG_MESSAGE_DETAIL, "DETAIL"},
		{PG_DIAG_MESSAGE_HINT, "HINT"},
	};
	const char *primary = res == NULL ? NULL : PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	Buffer		text = {0};

	if (primary == NULL)
		text_escape(&text, PQerrorMessage(conn), TEXT_BLOCK);
	else
	{
		text_escape(&text, primary, TEXT_BLOCK);
		for (size_t i = 0; i < lengthof(fields); i++)
		{
			const char *value = PQresultErrorField(res, fields[i].field);

			if (value == NULL)
				continue;
			buffer_printf(&text, "\n%s:  ", fields[i].label);
			text_escape(&text, value, TEXT_BLOCK);
		}
	}
	while (text.len > 0 && text.data[text.len - 1] == '\n')
		text.data[--text.len] = '\0';
	buffer_add(out, text.data == NULL ? "" : text.data);
	buffer_free(&text);
}

/* Return a value by the name of its column; NULL for an SQL NULL */
const char *
result_value(const PGresult *res, int row, const char *column)
{
	int			number = PQfnumber(res, column);

	if (number < 0 || row >= PQntuples(res) || PQgetisnull(res, row, number))
		return NULL;
	return PQgetvalue(res, row, number);
}

/* Return a value; "" for an SQL NULL */
const char *
result_text(const PGresult *res, int row, const char *column)
{
	const char *value = result_value(res, row, column);

	return value != NULL ? value : "";
}

/* Return a value as a number; 0 for an SQL NULL */
double
result_number(const PGresult *res, int row, const char *column)
{
	return strtod(result_text(res, row, column), NULL);
}

/* Return a whole number of 64 bits, such as a job id; 0 for an SQL NULL */
int64_t
result_int64(const PGresult *res, int row, const char *column)
{
	return strtoll(result_text(res, row, column), NULL, 10);
}

/* Return a boolean; false for an SQL NULL */
bool
result_true(const PGresult *res, int row, const char *column)
{
	return result_text(res, row, column)[0] == 't';
}

/* ------------------------------------------------------------------------
 * Queries
 * ------------------------------------------------------------------------ */

/* Report an error, and end the program */
void
query_fail(PGconn *conn, const PGresult *res)
{
	Buffer		error = {0};
	bool		lost = PQstatus(conn) != CONNECTION_OK;

	buffer_add(&error, "");
	result_error(&error, conn, res);
	report_error("%s", error.data);
	exit(lost ? CLI_NO_CONNECTION : CLI_REFUSED);
}

/* Execute a statement with n parameters, as text; the result may be an error */
PGresult *
query_try(PGconn *conn, const char *sql, int n, const char *const *values)
{
	return PQexecParams(conn, sql, n, NULL, values, NULL, NULL, 0);
}

/* Execute a statement; an error ends the program */
PGresult *
query_run(PGconn *conn, const char *sql, int n, const char *const *values)
{
	PGresult   *res = query_try(conn, sql, n, values);

	if (!result_good(res))
		query_fail(conn, res);
	return res;
}

/*
 * Execute a statement whose parameters name functions, which defer looks up
 * with the caller's search_path: that of the role, the database and PGOPTIONS.
 * The statement itself may have qualified names only.  The result may be an
 * error.
 */
PGresult *
query_by_name_try(PGconn *conn, const char *sql, int n, const char *const *values)
{
	static const char *const around[] = {
		"BEGIN",
		"SELECT pg_catalog.set_config('search_path', s.reset_val, true) FROM pg_catalog.pg_settings s"
		" WHERE s.name OPERATOR(pg_catalog.=) 'search_path'",
		NULL,
		"COMMIT"
	};
	PGresult   *result = NULL;

	for (size_t i = 0; i < lengthof(around); i++)
	{
		PGresult   *res;

		res = around[i] == NULL ? query_try(conn, sql, n, values) :
			query_try(conn, around[i], 0, NULL);
		if (!result_good(res))
		{
			PQclear(result);
			if (PQtransactionStatus(conn) != PQTRANS_IDLE)
				PQclear(query_try(conn, "ROLLBACK", 0, NULL));
			return res;
		}
		if (around[i] == NULL)
			result = res;
		else
			PQclear(res);
	}
	return result;
}

/* Execute such a statement; an error ends the program */
PGresult *
query_by_name(PGconn *conn, const char *sql, int n, const char *const *values)
{
	PGresult   *res = query_by_name_try(conn, sql, n, values);

	if (!result_good(res))
		query_fail(conn, res);
	return res;
}
