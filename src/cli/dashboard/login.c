/*
 * login.c
 *		Who asks: logins, and what /metrics is asked with.
 *
 * A token is compared before failures are looked at, so that wrong tokens of
 * others never shut out the right one.  Wrong passwords are counted for their
 * role and the client's address (throttle.c).
 */
#include "dashboard/login.h"

#include <string.h>
#include <strings.h>

#include "commands/metrics.h"
#include "dashboard/connections.h"
#include "dashboard/dashboard.h"
#include "dashboard/page.h"
#include "dashboard/throttle.h"

/* Wrong tokens are counted under no role */
#define NO_ROLE		""

static void
show(Answer *answer, const Request *request, int status, const char *problem)
{
	answer->status = status;
	page_write_login(&answer->body, request_query(request, "token"), problem);
}

/* Show the form */
void
login_show(Answer *answer, const Request *request)
{
	show(answer, request, MHD_HTTP_OK, NULL);
}

/* Count a wrong token or password; returns the status that says so */
static int
failed(const char *address, const char *role, int status)
{
	if (!throttle_allows(address, role))
		return MHD_HTTP_TOO_MANY_REQUESTS;
	throttle_failed(address, role);
	return status;
}

/* Log in with the form */
void
login_run(struct MHD_Connection *connection, Request *request, Answer *answer)
{
	static const char *const too_many = "There have been too many failed logins. Please wait a minute.";
	const char *address = connection_address(connection);
	const char *role = request_form(request, "role");
	Session    *session = NULL;
	Buffer		error = {0};
	bool		refused = true;
	int			status = MHD_HTTP_SERVICE_UNAVAILABLE;

	buffer_add(&error, "");
	if (dashboard.login == LOGIN_TOKEN)
	{
		role = NO_ROLE;
		if (secret_equal(dashboard.token, request_form(request, "token")))
			session = session_login(NULL, NULL, &refused, &error);
		else
			buffer_add(&error, "This is not the token of the dashboard.");
	}
	else if (throttle_allows(address, role))
		session = session_login(role, request_form(request, "password"), &refused, &error);
	if (session != NULL)
	{
		answer_set_cookie(answer, session);
		session_release(session);
		answer_redirect(answer, "/");
	}
	else
	{
		if (refused)
			status = failed(address, role, MHD_HTTP_FORBIDDEN);
		show(answer, request, status, status == MHD_HTTP_TOO_MANY_REQUESTS ? too_many : error.data);
	}
	buffer_free(&error);
}

/* ------------------------------------------------------------------------
 * Metrics
 * ------------------------------------------------------------------------ */

/* Connect with the token of the header; NULL: status says why not */
static PGconn *
connect_with_token(struct MHD_Connection *connection, int *status, Buffer *error)
{
	const char *authorization = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
	bool		refused;

	if (authorization == NULL || strncasecmp(authorization, "Bearer ", 7) != 0)
		return NULL;
	if (secret_equal(dashboard.token, authorization + 7))
	{
		*status = MHD_HTTP_SERVICE_UNAVAILABLE;
		return session_connect(NULL, NULL, &refused, error);
	}
	*status = failed(connection_address(connection), NO_ROLE, MHD_HTTP_UNAUTHORIZED);
	return NULL;
}

/* Connect with the role and password of the header; NULL: status says why not */
static PGconn *
connect_with_password(struct MHD_Connection *connection, int *status, Buffer *error)
{
	const char *address = connection_address(connection);
	char	   *password = NULL;
	char	   *role = MHD_basic_auth_get_username_password(connection, &password);
	PGconn	   *conn = NULL;
	bool		refused = true;

	if (role != NULL && password != NULL)
	{
		if (throttle_allows(address, role))
			conn = session_connect(role, password, &refused, error);
		if (conn == NULL)
			*status = refused ? failed(address, role, MHD_HTTP_UNAUTHORIZED) :
				MHD_HTTP_SERVICE_UNAVAILABLE;
	}
	if (password != NULL)
		memset(password, 0, strlen(password));
	MHD_free(role);
	MHD_free(password);
	return conn;
}

static const char *
query_field(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, name);
}

/* Answer GET /metrics, in a session or with the header Authorization */
void
login_metrics(struct MHD_Connection *connection, Session *session, Answer *answer)
{
	Buffer		error = {0};
	MetricsLimits limits = {
		.groups = query_field(connection, "groups"),
		.functions = query_field(connection, "functions"),
		.buckets = query_field(connection, "buckets")
	};
	const char *wrong = metrics_check_limits(&limits);
	PGconn	   *conn;
	int			status = session != NULL ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_UNAUTHORIZED;

	buffer_add(&error, "");
	answer->type = "text/plain; version=0.0.4; charset=utf-8";
	if (session != NULL)
	{
		pthread_mutex_lock(&session->mutex);
		conn = session_connection(session, &error);
	}
	else if (dashboard.login == LOGIN_TOKEN)
		conn = connect_with_token(connection, &status, &error);
	else
		conn = connect_with_password(connection, &status, &error);
	if (conn != NULL)
		status = wrong != NULL ? MHD_HTTP_BAD_REQUEST : MHD_HTTP_SERVICE_UNAVAILABLE;
	if (conn != NULL && wrong != NULL)
		buffer_add(&error, wrong);
	else if (conn != NULL && metrics_collect(conn, &limits, &answer->body, &error))
		status = MHD_HTTP_OK;
	if (session != NULL)
		pthread_mutex_unlock(&session->mutex);
	else
		PQfinish(conn);
	answer->status = status;
	if (status != MHD_HTTP_OK)
	{
		answer->authenticate = status == MHD_HTTP_UNAUTHORIZED;
		buffer_reset(&answer->body);
		buffer_add(&answer->body, error.data);
		buffer_char(&answer->body, '\n');
	}
	buffer_free(&error);
}
