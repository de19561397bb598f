/*
 * http.c
 *		A request: from where, by whom, for what; and its answer.
 *
 * What is checked, in this order: Host names us (or a site that somebody visits
 * could have its name point at us); a POST comes from a page of ours (Origin); a
 * session; for a POST the session's token in the form.  A GET changes nothing.
 *
 * A thread a connection, of which there are few: a slow query keeps nobody else
 * waiting.
 */
#include "dashboard/dashboard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dashboard/dashboard_assets.h"

#define MAX_BODY			65536
#define MAX_CONNECTIONS		64
#define MAX_CONNECTIONS_IP	48
#define IDLE_SECONDS		20
#define MAX_FIELDS			64

/* What we know of a request between the calls of the library */
typedef struct Incoming
{
	Buffer		body;
	bool		too_large;
} Incoming;

/* An answer on its way */
typedef struct Answer
{
	int			status;
	const char *type;
	Buffer		body;
	char	   *cookie;			/* allocated; NULL: none */
	char	   *location;		/* allocated; NULL: none */
	bool		keep;			/* may be kept by the browser */
	bool		basic;			/* ask for role and password */
} Answer;

static struct MHD_Daemon *daemon_handle = NULL;
static char cookie_name[40];

static const char icon[] =
"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><rect width=\"32\" height=\"32\" rx=\"8\" fill=\"#3f5bd9\"/>"
"<path d=\"M9 8h6a8 8 0 0 1 0 16H9z\" fill=\"none\" stroke=\"#fff\" stroke-width=\"3\"/>"
"<circle cx=\"25\" cy=\"24\" r=\"3\" fill=\"#8ee6b8\"/></svg>\n";

/* ------------------------------------------------------------------------
 * Fields
 * ------------------------------------------------------------------------ */

static const char *
find_field(const Field *fields, int n, const char *name)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(fields[i].name, name) == 0)
			return fields[i].value;
	}
	return NULL;
}

/* A value behind the ?; NULL: not given, or empty */
const char *
query_field(const Request *request, const char *name)
{
	const char *value = find_field(request->query, request->nquery, name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* A value of the form; "" if it is not given */
const char *
form_field(const Request *request, const char *name)
{
	const char *value = find_field(request->form, request->nform, name);

	return value != NULL ? value : "";
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Of application/x-www-form-urlencoded; what is no character is left out */
static char *
decode(const char *text, size_t len)
{
	char	   *result = xmalloc(len + 1);
	size_t		n = 0;

	for (size_t i = 0; i < len; i++)
	{
		if (text[i] == '+')
			result[n++] = ' ';
		else if (text[i] == '%' && i + 2 < len && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0)
		{
			char		c = (char) (hex(text[i + 1]) * 16 + hex(text[i + 2]));

			if (c != '\0')
				result[n++] = c;
			i += 2;
		}
		else if (text[i] != '\0')
			result[n++] = text[i];
	}
	result[n] = '\0';
	return result;
}

static int
parse_form(const Buffer *body, Field *fields)
{
	int			n = 0;
	const char *at = body->data;

	while (at != NULL && *at != '\0' && n < MAX_FIELDS)
	{
		size_t		len = strcspn(at, "&");
		const char *equals = memchr(at, '=', len);
		size_t		name = equals != NULL ? (size_t) (equals - at) : len;

		fields[n].name = decode(at, name);
		fields[n++].value = equals != NULL ? decode(equals + 1, len - name - 1) : xstrdup("");
		at += len + (at[len] == '&');
	}
	return n;
}

static enum MHD_Result
collect_query(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	Request    *request = cls;

	(void) kind;
	if (request->nquery < MAX_FIELDS)
	{
		request->query[request->nquery].name = xstrdup(key);
		request->query[request->nquery++].value = xstrdup(value != NULL ? value : "");
	}
	return MHD_YES;
}

static void
free_fields(Field *fields, int n)
{
	for (int i = 0; i < n; i++)
	{
		free(fields[i].name);
		memset(fields[i].value, 0, strlen(fields[i].value));	/* may be a password */
		free(fields[i].value);
	}
}

/* ------------------------------------------------------------------------
 * Answers
 * ------------------------------------------------------------------------ */

static enum MHD_Result
send_answer(struct MHD_Connection *connection, Answer *answer)
{
	static const char *const headers[][2] = {
		{"Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self';"
		" connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"},
		{"X-Content-Type-Options", "nosniff"},
		{"X-Frame-Options", "DENY"},
		{"Referrer-Policy", "same-origin"},
		{"Cross-Origin-Opener-Policy", "same-origin"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{"Permissions-Policy", "camera=(), geolocation=(), microphone=()"},
	};
	struct MHD_Response *response;
	enum MHD_Result result;

	/* the library frees the body */
	response = MHD_create_response_from_buffer(answer->body.len,
											   answer->body.data != NULL ? answer->body.data : xstrdup(""),
											   MHD_RESPMEM_MUST_FREE);
	if (response == NULL)
		return MHD_NO;
	for (size_t i = 0; i < lengthof(headers); i++)
		MHD_add_response_header(response, headers[i][0], headers[i][1]);
	MHD_add_response_header(response, "Content-Type", answer->type);
	MHD_add_response_header(response, "Cache-Control",
							answer->keep ? "private, max-age=31536000, immutable" : "no-store");
	if (answer->cookie != NULL)
		MHD_add_response_header(response, "Set-Cookie", answer->cookie);
	if (answer->location != NULL)
		MHD_add_response_header(response, "Location", answer->location);
	if (answer->basic)
		MHD_add_response_header(response, "WWW-Authenticate",
								dashboard.login == LOGIN_PASSWORD ? "Basic realm=\"defer\"" : "Bearer realm=\"defer\"");
	result = MHD_queue_response(connection, answer->status, response);
	MHD_destroy_response(response);
	return result;
}

static void
refuse(Answer *answer, int status, const char *title, const char *text)
{
	answer->status = status;
	error_page(&answer->body, NULL, title, text);
}

static void
redirect(Answer *answer, const char *location)
{
	answer->status = MHD_HTTP_SEE_OTHER;
	answer->location = xstrdup(location);
	buffer_add(&answer->body, "");
}

/* The cookie of a session; NULL ends it */
static char *
make_cookie(const Session *session)
{
	return xprintf("%s=%s; Path=/; HttpOnly; SameSite=Strict%s%s", cookie_name,
				   session != NULL ? session->id : "",
				   session != NULL ? "" : "; Max-Age=0",
				   dashboard.secure_cookie ? "; Secure" : "");
}

/* ------------------------------------------------------------------------
 * Where it comes from
 * ------------------------------------------------------------------------ */

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

/*
 * Browsers tell the origin of each POST.  Whoever tells none is no browser with
 * a page of ours.
 */
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

/* ------------------------------------------------------------------------
 * Assets
 * ------------------------------------------------------------------------ */

typedef struct Asset
{
	const char *path;
	const char *type;
	const void *data;
	size_t		size;
} Asset;

static const Asset assets[] = {
	{"/dashboard.css", "text/css; charset=utf-8", dashboard_css, sizeof(dashboard_css)},
	{"/dashboard.js", "text/javascript; charset=utf-8", dashboard_js, sizeof(dashboard_js)},
	{"/icon.svg", "image/svg+xml", icon, sizeof(icon) - 1},
};

const char *
asset_version(const char *path)
{
	return strstr(path, ".css") != NULL ? dashboard_css_version : dashboard_js_version;
}

static bool
send_asset(const char *path, Answer *answer)
{
	for (size_t i = 0; i < lengthof(assets); i++)
	{
		if (strcmp(assets[i].path, path) != 0)
			continue;
		answer->type = assets[i].type;
		answer->keep = true;
		buffer_add_len(&answer->body, assets[i].data, assets[i].size);
		return true;
	}
	return false;
}

/* ------------------------------------------------------------------------
 * Login
 * ------------------------------------------------------------------------ */

static void
show_login(Answer *answer, const Request *request, int status, const char *problem)
{
	answer->status = status;
	login_page(&answer->body, query_field(request, "token"), problem);
}

static void
do_login(Request *request, Answer *answer)
{
	Session    *session = NULL;
	Buffer		error = {0};
	bool		guess = true;

	buffer_add(&error, "");
	if (!login_allowed())
	{
		show_login(answer, request, MHD_HTTP_TOO_MANY_REQUESTS,
				   "There have been too many failed logins. Please wait a minute.");
		return;
	}
	if (dashboard.login == LOGIN_PASSWORD)
		session = session_login(form_field(request, "role"), form_field(request, "password"), &error);
	else if (equal_secret(dashboard.token, form_field(request, "token")))
	{
		guess = false;
		session = session_login(NULL, NULL, &error);
	}
	else
		buffer_add(&error, "That is not the token that was printed when the dashboard was started.");
	if (session == NULL)
	{
		if (guess)
			login_failed();
		show_login(answer, request, MHD_HTTP_FORBIDDEN, error.data);
	}
	else
	{
		answer->cookie = make_cookie(session);
		session_release(session);
		redirect(answer, "/");
	}
	buffer_free(&error);
}

/* ------------------------------------------------------------------------
 * Metrics
 * ------------------------------------------------------------------------ */

#ifdef DEFER_METRICS

/* What Authorization says: the token, or (with logins by password) a role */
static PGconn *
metrics_connection(struct MHD_Connection *connection, Buffer *error)
{
	const char *authorization = header(connection, "Authorization");
	char	   *user;
	char	   *password = NULL;
	PGconn	   *conn = NULL;

	if (!login_allowed())
		return NULL;
	if (dashboard.login == LOGIN_TOKEN)
	{
		if (authorization == NULL || strncasecmp(authorization, "Bearer ", 7) != 0)
			return NULL;
		if (equal_secret(dashboard.token, authorization + 7))
			return session_connect(NULL, NULL, error);
		login_failed();
		return NULL;
	}
	user = MHD_basic_auth_get_username_password(connection, &password);
	if (user != NULL && password != NULL)
	{
		conn = session_connect(user, password, error);
		if (conn == NULL)
			login_failed();
	}
	if (password != NULL)
		memset(password, 0, strlen(password));
	MHD_free(user);
	MHD_free(password);
	return conn;
}

static void
send_metrics(struct MHD_Connection *connection, Session *session, Answer *answer)
{
	Buffer		error = {0};
	PGconn	   *conn;
	bool		good = false;

	buffer_add(&error, "");
	if (session != NULL)
		pthread_mutex_lock(&session->mutex);
	conn = session != NULL ? session_connection(session, &error) : metrics_connection(connection, &error);
	if (conn != NULL)
		good = metrics_collect(conn, &answer->body, &error);
	if (session != NULL)
		pthread_mutex_unlock(&session->mutex);
	else
		PQfinish(conn);
	answer->type = "text/plain; version=0.0.4; charset=utf-8";
	if (!good)
	{
		answer->status = error.len > 0 ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_UNAUTHORIZED;
		answer->basic = error.len == 0;
		buffer_reset(&answer->body);
		buffer_add(&answer->body, error.data);
		buffer_char(&answer->body, '\n');
	}
	buffer_free(&error);
}
#endif

/* ------------------------------------------------------------------------
 * Requests
 * ------------------------------------------------------------------------ */

/* A page or an action, with the session's connection */
static void
with_session(Session *session, Request *request, Answer *answer, bool post)
{
	Page		page = {.out = &answer->body,.session = session,.request = request,.begun = monotonic_ms()};

	pthread_mutex_lock(&session->mutex);
	buffer_add(&page.problem, "");
	page.conn = session_connection(session, &page.problem);
	if (page.conn == NULL)
	{
		answer->status = MHD_HTTP_SERVICE_UNAVAILABLE;
		error_page(&answer->body, NULL, "No connection to the database", page.problem.data);
	}
	else
	{
		request->status = MHD_HTTP_OK;
		if (post)
			action_run(&page);
		else
			page_write(&page);
		answer->status = request->status;
		answer->location = request->location;
	}
	buffer_free(&page.problem);
	pthread_mutex_unlock(&session->mutex);
}

static void
answer_post(struct MHD_Connection *connection, Request *request, Session *session, Answer *answer)
{
	const char *type = header(connection, "Content-Type");

	if (!known_origin(header(connection, "Origin")))
		refuse(answer, MHD_HTTP_FORBIDDEN, "Refused", "This request did not come from a page of this dashboard.");
	else if (type == NULL || strncasecmp(type, "application/x-www-form-urlencoded", 33) != 0)
		refuse(answer, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "Refused", "Only forms are understood.");
	else if (strcmp(request->path, "/login") == 0)
		do_login(request, answer);
	else if (session == NULL)
		refuse(answer, MHD_HTTP_FORBIDDEN, "Logged out", "Your session has ended. Please log in again.");
	else if (!equal_secret(session->csrf, form_field(request, "csrf")))
		refuse(answer, MHD_HTTP_FORBIDDEN, "Refused", "The form is not one of your session. Please load the page again.");
	else if (strcmp(request->path, "/logout") == 0)
	{
		session_close(session);
		answer->cookie = make_cookie(NULL);
		redirect(answer, "/login");
	}
	else if (dashboard.read_only)
		refuse(answer, MHD_HTTP_FORBIDDEN, "Read-only", "This dashboard was started with --read-only.");
	else
		with_session(session, request, answer, true);
}

static void
answer_get(struct MHD_Connection *connection, Request *request, Session *session, Answer *answer)
{
	(void) connection;
	if (send_asset(request->path, answer))
		return;
#ifdef DEFER_METRICS
	if (strcmp(request->path, "/metrics") == 0)
	{
		send_metrics(connection, session, answer);
		return;
	}
#endif
	if (strcmp(request->path, "/login") == 0)
		show_login(answer, request, MHD_HTTP_OK, NULL);
	else if (session != NULL)
		with_session(session, request, answer, false);
	else if (request->fragment)
		refuse(answer, MHD_HTTP_UNAUTHORIZED, "Logged out", "Your session has ended. Please log in again.");
	else
		redirect(answer, "/login");
}

static void
handle(struct MHD_Connection *connection, const char *path, const char *method, Incoming *incoming, Answer *answer)
{
	Field		query[MAX_FIELDS];
	Field		form[MAX_FIELDS];
	Request		request = {.path = path, .query = query, .form = form};
	Session    *session;
	bool		post = strcmp(method, "POST") == 0;

	if (!known_host(header(connection, "Host")))
	{
		refuse(answer, 421, "Not here", "This dashboard is not reached by that name. If it should be, start it with --origin.");
		return;
	}
	if (!post && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
	{
		refuse(answer, MHD_HTTP_METHOD_NOT_ALLOWED, "Refused", "Only GET and POST are understood.");
		return;
	}
	if (incoming->too_large)
	{
		refuse(answer, 413, "Too large", "The form is too large.");
		return;
	}
	MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, collect_query, &request);
	if (post)
		request.nform = parse_form(&incoming->body, form);
	request.fragment = header(connection, "X-Fragment") != NULL;
	session = session_find(MHD_lookup_connection_value(connection, MHD_COOKIE_KIND, cookie_name));
	if (post)
		answer_post(connection, &request, session, answer);
	else
		answer_get(connection, &request, session, answer);
	if (session != NULL)
		session_release(session);
	free_fields(query, request.nquery);
	free_fields(form, request.nform);
}

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
	handle(connection, url, method, incoming, &answer);
	result = send_answer(connection, &answer);
	free(answer.cookie);
	free(answer.location);
	return result;
}

static void
on_end(void *cls, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
	Incoming   *incoming = *state;

	(void) cls;
	(void) connection;
	(void) code;
	if (incoming == NULL)
		return;
	if (incoming->body.data != NULL)
		memset(incoming->body.data, 0, incoming->body.len); /* may be a password */
	buffer_free(&incoming->body);
	free(incoming);
	*state = NULL;
}

/* ------------------------------------------------------------------------
 * Begin and end
 * ------------------------------------------------------------------------ */

static void
log_nothing(void *cls, const char *format, va_list args)
{
	(void) cls;
	(void) format;
	(void) args;
}

bool
http_start(Buffer *error)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	const char *address = dashboard.listen != NULL ? dashboard.listen : "127.0.0.1";
	struct addrinfo *found = NULL;
	const union MHD_DaemonInfo *info;
	char		port[20];
	unsigned	flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ERROR_LOG;
	int			code;

	snprintf(port, sizeof(port), "%d", dashboard.port);
	code = getaddrinfo(address, port, &hints, &found);
	if (code != 0)
	{
		buffer_printf(error, "cannot listen on \"%s\": %s", address, gai_strerror(code));
		return false;
	}
	if (found->ai_family == AF_INET6)
		flags |= MHD_USE_IPv6;
	errno = 0;
	daemon_handle = MHD_start_daemon(flags, dashboard.port, NULL, NULL, on_request, NULL,
									 MHD_OPTION_EXTERNAL_LOGGER, log_nothing, NULL,
									 MHD_OPTION_SOCK_ADDR, found->ai_addr,
									 MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL,
									 MHD_OPTION_CONNECTION_LIMIT, (unsigned) MAX_CONNECTIONS,
									 MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned) MAX_CONNECTIONS_IP,
									 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) IDLE_SECONDS,
									 MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) 65536,
									 MHD_OPTION_LISTENING_ADDRESS_REUSE, 1U,
									 MHD_OPTION_STRICT_FOR_CLIENT, 1,
									 MHD_OPTION_END);
	freeaddrinfo(found);
	if (daemon_handle == NULL)
	{
		buffer_printf(error, "could not listen on %s, port %d: %s", address, dashboard.port,
					  errno != 0 ? strerror(errno) : "it is in use");
		return false;
	}
	info = MHD_get_daemon_info(daemon_handle, MHD_DAEMON_INFO_BIND_PORT);
	if (info != NULL && info->port != 0)
		dashboard.port = info->port;
	snprintf(cookie_name, sizeof(cookie_name), "defer_dashboard_%d", dashboard.port);
	return true;
}

void
http_stop(void)
{
	MHD_stop_daemon(daemon_handle);
}
