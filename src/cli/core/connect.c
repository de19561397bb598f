/*
 * connect.c
 *		Connections with psql's options, variables and files.
 *
 * libpq reads PG* variables, services and .pgpass.  A new connection pins its
 * search_path first, so that no operator of another schema takes the place of
 * one of pg_catalog in our statements.
 */
#include "core/connect.h"

#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "core/query.h"
#include "core/report.h"
#include "core/text.h"

ConnectOptions connect_options;

/* Whether the database has the extension, and the role may use it */
static const char *const requirements_sql =
"SELECT pg_catalog.current_database(), pg_catalog.current_user(),"
" EXISTS (SELECT FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n"
" ON n.oid OPERATOR(pg_catalog.=) e.extnamespace"
" WHERE e.extname OPERATOR(pg_catalog.=) 'defer') AS installed,"
" COALESCE((SELECT pg_catalog.has_schema_privilege(n.oid, 'USAGE') FROM pg_catalog.pg_namespace n"
" WHERE n.nspname OPERATOR(pg_catalog.=) 'defer'), false) AS usable";

/* Write a notice, made harmless, to standard error */
static void
show_notice(void *arg, const PGresult *res)
{
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY);
	Buffer		text = {0};

	(void) arg;

	if (report_quiet)
		return;
	text_escape(&text, severity != NULL ? severity : "NOTICE", TEXT_LINE);
	buffer_add(&text, ":  ");
	result_error(&text, NULL, res);
	fprintf(stderr, "%s\n", text.data);
	buffer_free(&text);
}

/* Ask for a password on the terminal, also if standard input is not one */
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

static Parameters
connection_parameters(const char *user, const char *password)
{
	Parameters	parameters = {{NULL}};

	/* a URI comes first, so that the other options override it, as in psql */
	add_parameter(&parameters, "dbname", connect_options.dbname);
	add_parameter(&parameters, "host", connect_options.host);
	add_parameter(&parameters, "port", connect_options.port);
	add_parameter(&parameters, "user", user);
	add_parameter(&parameters, "password", password);
	add_parameter(&parameters, "fallback_application_name", "defer");
	add_parameter(&parameters, "client_encoding", "UTF8");
	return parameters;
}

static PGconn *
connect_once(const char *user, const char *password)
{
	Parameters	parameters = connection_parameters(user, password);

	return PQconnectdbParams(parameters.keywords, parameters.values, 1);
}

/* Report whether it was the server that refused a role and its password */
static bool
refused_by_server(PGconn *conn, const char *user, const char *password)
{
	Parameters	parameters = connection_parameters(user, password);

	return PQconnectionUsedPassword(conn) ||
		PQpingParams(parameters.keywords, parameters.values, 1) == PQPING_OK;
}

/* Set up a new connection; false: it cannot be used, and error says why */
static bool
prepare(PGconn *conn, Buffer *error)
{
	PGresult   *res;
	bool		good;

	PQsetNoticeReceiver(conn, show_notice, NULL);
	res = query_try(conn, "SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false),"
					" pg_catalog.set_config('DateStyle', 'ISO, YMD', false),"
					" pg_catalog.set_config('IntervalStyle', 'postgres', false)", 0, NULL);
	good = result_good(res);
	if (good)
	{
		PQclear(res);
		res = query_try(conn, requirements_sql, 0, NULL);
		good = result_good(res);
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

/* Return a connection that is set up; NULL: it is closed, and error says why */
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
 * Connect without asking for a password; NULL: error says why not.  password
 * NULL: the one that libpq finds.  Calls share no state.
 */
PGconn *
connect_try(const char *password, Buffer *error)
{
	buffer_reset(error);
	return connected(connect_once(connect_options.user, password), error);
}

/*
 * Connect with a role and a password that a user of the dashboard has typed; NULL: error
 * says why not, and refused whether the role or its password was the reason.
 *
 * The connection counts only if the server has asked for the password: libpq
 * ignores an empty one and takes ours instead, and a server that asks for none
 * (trust, peer, a certificate) has checked who we are, not who typed it.
 */
PGconn *
connect_login(const char *role, const char *password, bool *refused, Buffer *error)
{
	PGconn	   *conn;

	buffer_reset(error);
	*refused = true;
	if (role[0] == '\0' || password[0] == '\0')
	{
		buffer_add(error, "A role and its password are needed.");
		return NULL;
	}
	conn = connect_once(role, password);
	if (PQstatus(conn) != CONNECTION_OK || PQconnectionUsedPassword(conn))
	{
		*refused = refused_by_server(conn, role, password);
		return connected(conn, error);
	}
	buffer_add(error, "the server did not ask for a password for the role \"");
	text_escape(error, role, TEXT_LINE);
	buffer_add(error, "\"\nHINT:  Its pg_hba.conf must demand one (scram-sha-256) from where the dashboard connects.");
	PQfinish(conn);
	return NULL;
}

/* Connect, or end the program.  Asks for a password if the server wants one. */
PGconn *
connect_or_exit(void)
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
		report_error("%s", error.data);
		exit(CLI_NO_CONNECTION);
	}
	if (!prepare(conn, &error))
	{
		report_error("%s", error.data);
		exit(PQstatus(conn) == CONNECTION_OK ? CLI_REFUSED : CLI_NO_CONNECTION);
	}
	if (password != NULL)
	{
		memset(password, 0, strlen(password));
		free(password);
	}
	return conn;
}
