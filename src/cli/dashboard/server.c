/*
 * server.c
 *		The web server: checks a request, and hands it on.
 *
 * The checks, in this order: Host names this dashboard (or another site could
 * have its name point here); a POST comes from a page of this dashboard (Origin);
 * there is a session; the form of a POST has the session's token.  A GET changes
 * nothing.
 *
 * Each connection has a thread: a slow query keeps no other request waiting.
 */
#include "dashboard/server.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "dashboard/actions.h"
#include "dashboard/answer.h"
#include "dashboard/assets.h"
#include "dashboard/connections.h"
#include "dashboard/dashboard.h"
#include "dashboard/login.h"
#include "dashboard/page.h"
#include "dashboard/request.h"

#define MAX_BODY			65536

/* A request between the calls of the library */
typedef struct Incoming
{
	Buffer		body;
	bool		too_large;
} Incoming;

static struct MHD_Daemon *daemon_handle = NULL;
static int	listen_socket = -1;

static const char *
header(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static bool
known_host(const char *host)
{
	for (int i = 0; host != NULL && i < dashboard.norigins; i++)
	{
		const char *own = strstr(dashboard.origins[i], "://") + 3;

		if (strcasecmp(own, host) == 0)
			return true;
	}
	return false;
}

/* Browsers send the origin with each POST; a client that does not is none */
static bool
known_origin(const char *origin)
{
	for (int i = 0; origin != NULL && i < dashboard.norigins; i++)
	{
		if (strcasecmp(dashboard.origins[i], origin) == 0)
			return true;
	}
	return false;
}

static bool
send_asset(const char *path, Answer *answer)
{
	const Asset *asset = asset_find(path);

	if (asset == NULL)
		return false;
	answer->type = asset->type;
	answer->keep = true;
	buffer_add_len(&answer->body, asset->data, asset->size);
	return true;
}

/* Write a page or do an action, with the session's connection */
static void
with_session(Session *session, Request *request, Answer *answer, bool post)
{
	Page		page = {.out = &answer->body, .session = session, .request = request};

	pthread_mutex_lock(&session->mutex);
	page.begun = clock_seconds();
	buffer_add(&page.problem, "");
	page.conn = session_connection(session, &page.problem);
	if (page.conn == NULL)
		answer_refuse(answer, MHD_HTTP_SERVICE_UNAVAILABLE, "No connection to the database", page.problem.data);
	else
	{
		request->status = MHD_HTTP_OK;
		if (post)
			action_run(&page);
		else
			page_write(&page);
		answer->status = request->status;
		answer->location = request->location;
		answer->file = request->file;
		if (request->type != NULL)
			answer->type = request->type;
	}
	buffer_free(&page.problem);
	pthread_mutex_unlock(&session->mutex);
}

static void
answer_post(struct MHD_Connection *connection, Request *request, Session *session, Answer *answer)
{
	const char *type = header(connection, "Content-Type");

	if (!known_origin(header(connection, "Origin")))
		answer_refuse(answer, MHD_HTTP_FORBIDDEN, "Refused", "This request did not come from a page of this dashboard.");
	else if (type == NULL || strncasecmp(type, "application/x-www-form-urlencoded", 33) != 0)
		answer_refuse(answer, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "Refused", "Only forms are understood.");
	else if (strcmp(request->path, "/login") == 0)
		login_run(connection, request, answer);
	else if (session == NULL)
		answer_refuse(answer, MHD_HTTP_FORBIDDEN, "Logged out", "Your session has ended. Please log in again.");
	else if (!secret_equal(session->csrf, request_form(request, "csrf")))
		answer_refuse(answer, MHD_HTTP_FORBIDDEN, "Refused", "The form is not one of your session. Please load the page again.");
	else if (strcmp(request->path, "/logout") == 0)
	{
		session_close(session);
		answer_set_cookie(answer, NULL);
		answer_redirect(answer, "/login");
	}
	else if (dashboard.read_only && strcmp(request->path, "/do/zone") != 0)
		answer_refuse(answer, MHD_HTTP_FORBIDDEN, "Read-only", "This dashboard was started with --read-only.");
	else
		with_session(session, request, answer, true);
}

static void
answer_get(struct MHD_Connection *connection, Request *request, Session *session, Answer *answer)
{
	if (send_asset(request->path, answer))
		return;
	if (strcmp(request->path, "/metrics") == 0)
		login_metrics(connection, session, answer);
	else if (strcmp(request->path, "/login") == 0)
		login_show(answer, request);
	else if (session != NULL)
		with_session(session, request, answer, false);
	else if (request->fragment)
		answer_refuse(answer, MHD_HTTP_UNAUTHORIZED, "Logged out", "Your session has ended. Please log in again.");
	else
		answer_redirect(answer, "/login");
}

static enum MHD_Result
collect_query(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	(void) kind;
	request_add_query(cls, name, value);
	return MHD_YES;
}

static void
handle(struct MHD_Connection *connection, const char *path, const char *method,
	   Incoming *incoming, Answer *answer)
{
	Request		request = {.path = path};
	Session    *session;
	const char *cookie;
	bool		post = strcmp(method, "POST") == 0;

	if (!known_host(header(connection, "Host")))
	{
		answer_refuse(answer, 421, "Not here", "This dashboard is not reached by that name. If it should be, start it with --origin.");
		return;
	}
	if (!post && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
	{
		answer_refuse(answer, MHD_HTTP_METHOD_NOT_ALLOWED, "Refused", "Only GET and POST are understood.");
		return;
	}
	if (incoming->too_large)
	{
		answer_refuse(answer, 413, "Too large", "The form is too large.");
		return;
	}
	MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, collect_query, &request);
	if (post)
		request_parse_form(&request, incoming->body.data);
	request.fragment = header(connection, "X-Fragment") != NULL;
	cookie = MHD_lookup_connection_value(connection, MHD_COOKIE_KIND, answer_cookie_name());
	session = session_find(cookie);
	if (post)
		answer_post(connection, &request, session, answer);
	else
		answer_get(connection, &request, session, answer);
	if (session != NULL)
		session_release(session);
	request_free(&request);
}

/* ------------------------------------------------------------------------
 * What the library calls
 * ------------------------------------------------------------------------ */

static enum MHD_Result
on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
		   const char *version, const char *upload, size_t *upload_size, void **state)
{
	Incoming   *incoming = *state;
	Answer		answer = {.status = MHD_HTTP_OK, .type = "text/html; charset=utf-8"};
	enum MHD_Result result;

	(void) cls;
	(void) version;
	if (incoming == NULL)
	{
		incoming = xmalloc(sizeof(Incoming));
		memset(incoming, 0, sizeof(*incoming));
		*state = incoming;
		return MHD_YES;
	}
	if (*upload_size > 0)
	{
		if (incoming->body.len + *upload_size > MAX_BODY)
			incoming->too_large = true;
		else
			buffer_add_len(&incoming->body, upload, *upload_size);
		*upload_size = 0;
		return MHD_YES;
	}
	connection_received(connection);
	handle(connection, url, method, incoming, &answer);
	result = answer_send(connection, &answer);
	connection_answered(connection);
	return result;
}

static void
on_end(void *cls, struct MHD_Connection *connection, void **state,
	   enum MHD_RequestTerminationCode code)
{
	Incoming   *incoming = *state;

	(void) cls;
	(void) code;
	if (incoming == NULL)
		return;
	connection_completed(connection);
	if (incoming->body.data != NULL)
		memset(incoming->body.data, 0, incoming->body.len); /* may be a password */
	buffer_free(&incoming->body);
	free(incoming);
	*state = NULL;
}

static void
log_nothing(void *cls, const char *format, va_list args)
{
	(void) cls;
	(void) format;
	(void) args;
}

/* ------------------------------------------------------------------------
 * Begin and end
 * ------------------------------------------------------------------------ */

/* Return a socket that listens on an address; -1: error says why not */
static int
listen_on(const char *address, Buffer *error)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *found = NULL;
	char		port[20];
	int			on = 1;
	int			code;
	int			sock;

	snprintf(port, sizeof(port), "%d", dashboard.port);
	code = getaddrinfo(address, port, &hints, &found);
	if (code != 0)
	{
		buffer_printf(error, "cannot listen on \"%s\": %s", address, gai_strerror(code));
		return -1;
	}
	sock = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* SO_REUSEADDR, but not SO_REUSEPORT: one dashboard has the port */
	if (sock < 0 || setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
		bind(sock, found->ai_addr, found->ai_addrlen) != 0 || listen(sock, SOMAXCONN) != 0)
	{
		code = errno;
		buffer_printf(error, "could not listen on %s, port %d: %s", address, dashboard.port, strerror(code));
		if (code == EADDRINUSE)
			buffer_add(error, "\nHINT:  Is another dashboard running?  --http-port chooses another port.");
		if (sock >= 0)
			close(sock);
		sock = -1;
	}
	freeaddrinfo(found);
	return sock;
}

/* Return the port that a socket listens on */
static int
port_of(int sock)
{
	union
	{
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	}			name = {0};
	socklen_t	len = sizeof(name);

	if (getsockname(sock, &name.any, &len) != 0)
		return dashboard.port;
	return ntohs(name.any.sa_family == AF_INET6 ? name.v6.sin6_port : name.v4.sin_port);
}

bool
server_listen(Buffer *error)
{
	listen_socket = listen_on(dashboard.listen != NULL ? dashboard.listen : "127.0.0.1", error);
	if (listen_socket < 0)
		return false;
	dashboard.port = port_of(listen_socket);
	return true;
}

bool
server_start(Buffer *error)
{
	const unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
		MHD_USE_POLL | MHD_USE_ERROR_LOG;
	const unsigned max_connections = CONNECTIONS_LIBRARY_MAX;

	answer_init(dashboard.port);
	daemon_handle = MHD_start_daemon(flags, dashboard.port, NULL, NULL, on_request, NULL,
									 MHD_OPTION_EXTERNAL_LOGGER, log_nothing, NULL,
									 MHD_OPTION_LISTEN_SOCKET, listen_socket,
									 MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL,
									 MHD_OPTION_NOTIFY_CONNECTION, connections_notify, NULL,
									 MHD_OPTION_CONNECTION_LIMIT, max_connections,
									 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) CONNECTION_SECONDS,
									 MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) 65536,
									 MHD_OPTION_STRICT_FOR_CLIENT, 1,
									 MHD_OPTION_END);
	if (daemon_handle == NULL)
	{
		buffer_add(error, "could not start the web server");
		close(listen_socket);
		return false;
	}
	return true;
}

void
server_stop(void)
{
	MHD_stop_daemon(daemon_handle);
}
