/*
 * connect.c
 *		Connections with psql's options, variables and files; queries on them.
 *
 * libpq reads PG* variables, services and .pgpass by itself.  What a new
 * connection does first is to pin its search_path, so that an operator in one of our
 * statements is never one that somebody has put in front of pg_catalog's.
 */
#include "core/cli.h"

#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

ConnectOptions connect_options;

/* Does the database have the extension, and may we use it? */
static const char *const look_around =
"SELECT pg_catalog.current_database(), pg_catalog.current_user(),"
" EXISTS (SELECT FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n"
" ON n.oid OPERATOR(pg_catalog.=) e.extnamespace"
" WHERE e.extname OPERATOR(pg_catalog.=) 'defer') AS installed,"
" COALESCE((SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE') FROM pg_catalog.pg_namespace n"
" WHERE n.nspname OPERATOR(pg_catalog.=) 'defer'), false) AS usable";

/* ------------------------------------------------------------------------
 * Errors
 * ------------------------------------------------------------------------ */

/* Append an error as psql shows it, made harmless, without a line feed behind */
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

void
fail_with_result(PGconn *conn, const PGresult *res)
{
	Buffer		error = {0};
	bool		lost = PQstatus(conn) != CONNECTION_OK;

	buffer_add(&error, "");
	result_error(&error, conn, res);
	complain("%s", error.data);
	exit(lost ? CLI_NO_CONNECTION : CLI_REFUSED);
}

/* NOTICE and the like: harmless, too, and never among what is written */
static void
show_notice(void *arg, const PGresult *res)
{
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY);
	Buffer		text = {0};

	(void) arg;

	if (quiet_wanted)
		return;
	text_escape(&text, severity != NULL ? severity : "NOTICE", TEXT_LINE);
	buffer_add(&text, ":  ");
	result_error(&text, NULL, res);
	fprintf(stderr, "%s\n", text.data);
	buffer_free(&text);
}

/* ------------------------------------------------------------------------
 * Connecting
 * ------------------------------------------------------------------------ */

/* Ask on the terminal, even if our input is something else */
static char *
ask_password(const char *user)
{
	FILE	   *tty = fopen("/dev/tty", "r+");
	FILE	   *in = tty != NULL ? tty : stdin;
	FILE	   *out = tty != NULL ? tty : stderr;
	struct termios before;
	struct termios silent;
	bool		echo_off;
	char		line[4096];
	Buffer		prompt = {0};

	buffer_add(&prompt, "Password");
	if (user != NULL && user[0] != '\0')
	{
		buffer_add(&prompt, " for user ");
		text_escape(&prompt, user, TEXT_LINE);
	}
	fprintf(out, "%s: ", prompt.data);
	fflush(out);
	echo_off = tcgetattr(fileno(in), &before) == 0;
	if (echo_off)
	{
		silent = before;
		silent.c_lflag &= ~(tcflag_t) ECHO;
		tcsetattr(fileno(in), TCSAFLUSH, &silent);
	}
	if (fgets(line, sizeof(line), in) == NULL)
		line[0] = '\0';
	if (echo_off)
	{
		tcsetattr(fileno(in), TCSAFLUSH, &before);
		fputc('\n', out);
	}
	if (tty != NULL)
		fclose(tty);
	buffer_free(&prompt);
	line[strcspn(line, "\r\n")] = '\0';
	return xstrdup(line);
}

typedef struct Parameters
{
	const char *keywords[9];
	const char *values[9];
	int			n;
} Parameters;

static void
add_parameter(Parameters *parameters, const char *keyword, const char *value)
{
	if (value == NULL)
		return;
	parameters->keywords[parameters->n] = keyword;
	parameters->values[parameters->n++] = value;
}

static PGconn *
connect_once(const char *user, const char *password)
{
	Parameters	parameters = {{NULL}};

	/* a URI comes first, so that what is given besides it wins, as in psql */
	add_parameter(&parameters, "dbname", connect_options.dbname);
	add_parameter(&parameters, "host", connect_options.host);
	add_parameter(&parameters, "port", connect_options.port);
	add_parameter(&parameters, "user", user);
	add_parameter(&parameters, "password", password);
	add_parameter(&parameters, "fallback_application_name", "defer");
	add_parameter(&parameters, "client_encoding", "UTF8");
	return PQconnectdbParams(parameters.keywords, parameters.values, 1);
}

/* Make it ours; false: it is of no use to us, and error says why */
static bool
prepare(PGconn *conn, Buffer *error)
{
	PGresult   *res;
	bool		good;

	PQsetNoticeReceiver(conn, show_notice, NULL);
	res = query_try(conn, "SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false),"
					" pg_catalog.set_config('DateStyle', 'ISO, YMD', false),"
					" pg_catalog.set_config('IntervalStyle', 'postgres', false)", 0, NULL);
	good = PQresultStatus(res) == PGRES_TUPLES_OK;
	if (good)
	{
		PQclear(res);
		res = query_try(conn, look_around, 0, NULL);
		good = PQresultStatus(res) == PGRES_TUPLES_OK;
	}
	if (!good)
		result_error(error, conn, res);
	else if (!result_true(res, 0, "installed"))
	{
		good = false;
		buffer_add(error, "the extension defer is not installed in the database \"");
		text_escape(error, PQgetvalue(res, 0, 0), TEXT_LINE);
		buffer_add(error, "\"\nHINT:  Choose another one with -d, or run CREATE EXTENSION defer.");
	}
	else if (!result_true(res, 0, "usable"))
	{
		good = false;
		buffer_add(error, "the role \"");
		text_escape(error, PQgetvalue(res, 0, 1), TEXT_LINE);
		buffer_add(error, "\" may not use defer in this database\nHINT:  GRANT USAGE ON SCHEMA defer TO it.");
	}
	PQclear(res);
	return good;
}

/* What has been connected, if it works and is of use; NULL: error says why */
static PGconn *
connected(PGconn *conn, Buffer *error)
{
	if (PQstatus(conn) != CONNECTION_OK)
		result_error(error, conn, NULL);
	else if (prepare(conn, error))
		return conn;

	PQfinish(conn);
	return NULL;
}

/*
 * Connect without asking anybody anything; NULL: it did not work, and error
 * says why.  password may be NULL: as libpq has it.  No state is shared between
 * calls.
 */
PGconn *
connect_try(const char *password, Buffer *error)
{
	buffer_reset(error);
	return connected(connect_once(connect_options.user, password), error);
}

/*
 * The same with the role and the password of whoever is asking: a connection only
 * if the server has asked for that password.  An empty value would be ignored by
 * libpq, and ours taken instead; and a server that asks for none (trust, peer,
 * a certificate) would have looked at who we are.
 */
PGconn *
connect_login(const char *role, const char *password, Buffer *error)
{
	PGconn	   *conn;

	buffer_reset(error);
	if (role[0] == '\0' || password[0] == '\0')
	{
		buffer_add(error, "A role and its password are needed.");
		return NULL;
	}
	conn = connect_once(role, password);
	if (PQstatus(conn) != CONNECTION_OK || PQconnectionUsedPassword(conn))
		return connected(conn, error);

	buffer_add(error, "the server did not ask for a password for the role \"");
	text_escape(error, role, TEXT_LINE);
	buffer_add(error, "\"\nHINT:  Its pg_hba.conf must demand one (scram-sha-256) from where the dashboard connects.");
	PQfinish(conn);
	return NULL;
}

/* Connect, or end the program.  Asks for a password if that is needed. */
PGconn	   *
connect_server(void)
{
	char	   *password = NULL;
	PGconn	   *conn;
	Buffer		error = {0};

	if (connect_options.password == PASSWORD_ALWAYS)
		password = ask_password(connect_options.user);
	conn = connect_once(connect_options.user, password);

	if (PQstatus(conn) == CONNECTION_BAD && PQconnectionNeedsPassword(conn) && password == NULL &&
		connect_options.password != PASSWORD_NEVER)
	{
		password = ask_password(PQuser(conn));
		PQfinish(conn);
		conn = connect_once(connect_options.user, password);
	}
	if (PQstatus(conn) != CONNECTION_OK)
	{
		buffer_add(&error, "");
		result_error(&error, conn, NULL);
		complain("%s", error.data);
		exit(CLI_NO_CONNECTION);
	}
	if (!prepare(conn, &error))
	{
		complain("%s", error.data);
		exit(PQstatus(conn) == CONNECTION_OK ? CLI_REFUSED : CLI_NO_CONNECTION);
	}
	if (password != NULL)
	{
		memset(password, 0, strlen(password));
		free(password);
	}
	return conn;
}

/* ------------------------------------------------------------------------
 * Queries
 * ------------------------------------------------------------------------ */

/* One statement with n parameters, as text; the caller looks how it went */
PGresult *
query_try(PGconn *conn, const char *sql, int n, const char *const *values)
{
	return PQexecParams(conn, sql, n, NULL, values, NULL, NULL, 0);
}

/* One statement that must work: else the program ends */
PGresult *
query(PGconn *conn, const char *sql, int n, const char *const *values)
{
	PGresult   *res = query_try(conn, sql, n, values);
	ExecStatusType status = PQresultStatus(res);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		fail_with_result(conn, res);
	return res;
}

/*
 * The same for a statement that is given the name of a function, which
 * defer looks up with the search_path of the caller: as the role, the
 * database and PGOPTIONS have it.  Only calls with qualified names in it!
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
		ExecStatusType status;

		res = around[i] == NULL ? query_try(conn, sql, n, values) : query_try(conn, around[i], 0, NULL);
		status = PQresultStatus(res);
		if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
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

PGresult *
query_by_name(PGconn *conn, const char *sql, int n, const char *const *values)
{
	PGresult   *res = query_by_name_try(conn, sql, n, values);
	ExecStatusType status = PQresultStatus(res);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		fail_with_result(conn, res);
	return res;
}

/* A value by the name of its column; NULL is NULL */
const char *
result_value(const PGresult *res, int row, const char *column)
{
	int			number = PQfnumber(res, column);

	if (number < 0 || row >= PQntuples(res) || PQgetisnull(res, row, number))
		return NULL;
	return PQgetvalue(res, row, number);
}

/* The same; NULL is "" */
const char *
result_text(const PGresult *res, int row, const char *column)
{
	const char *value = result_value(res, row, column);

	return value != NULL ? value : "";
}

double
result_number(const PGresult *res, int row, const char *column)
{
	return strtod(result_text(res, row, column), NULL);
}

bool
result_true(const PGresult *res, int row, const char *column)
{
	return result_text(res, row, column)[0] == 't';
}
