/*
 * command.c
 *		defer dashboard: a web server on loopback with pages that show and control
 *		the jobs of a database.
 */
#include "dashboard/command.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/json.h"
#include "core/report.h"
#include "core/terminal.h"
#include "dashboard/connections.h"
#include "dashboard/dashboard.h"
#include "dashboard/secret.h"
#include "dashboard/server.h"
#include "dashboard/session.h"
#include "dashboard/throttle.h"

#define DEFAULT_PORT	8433

DashboardOptions dashboard;

/* ------------------------------------------------------------------------
 * Options
 * ------------------------------------------------------------------------ */

/* Add an address as browsers write it, without a final slash */
static void
add_origin(const char *origin, size_t len)
{
	while (len > 0 && origin[len - 1] == '/')
		len--;
	if (dashboard.norigins == (int) lengthof(dashboard.origins) ||
		len >= sizeof(dashboard.origins[0]))
		report_usage_error("too many origins, or one that is too long");
	if (strncmp(origin, "http://", 7) != 0 && strncmp(origin, "https://", 8) != 0)
		report_usage_error("an origin begins with http:// or https://");
	if (memchr(origin + 8, '/', len > 8 ? len - 8 : 0) != NULL)
		report_usage_error("an origin has no path");
	memcpy(dashboard.origins[dashboard.norigins], origin, len);
	dashboard.origins[dashboard.norigins++][len] = '\0';
}

static void
read_token(const char *name)
{
	FILE	   *file = fopen(name, "r");

	if (file == NULL || fgets(dashboard.token, sizeof(dashboard.token), file) == NULL)
	{
		report_error("could not read the token from \"%s\": %s", name,
					 file == NULL ? strerror(errno) : "it is empty");
		exit(CLI_USAGE);
	}
	fclose(file);
	dashboard.token[strcspn(dashboard.token, "\r\n")] = '\0';
	if (strlen(dashboard.token) < 16)
		report_usage_error("the token in \"%s\" has less than 16 characters", name);
}

static void
read_options(int argc, char **argv)
{
	const char *port = NULL;
	const char *origins = NULL;
	const char *login = "token";
	const Option options[] = {
		{"http-port", 0, OPTION_NUMBER, &port},
		{"listen", 0, OPTION_TEXT, &dashboard.listen},
		{"origin", 0, OPTION_TEXT, &origins},
		{"login", 0, OPTION_TEXT, &login},
		{"token-file", 0, OPTION_TEXT, &dashboard.token_file},
		{"read-only", 0, OPTION_FLAG, &dashboard.read_only},
		{NULL}
	};

	options_parse(argc, argv, options, 0, 0, NULL);
	dashboard.port = DEFAULT_PORT;
	if (port != NULL)
	{
		long		number = strtol(port, NULL, 10);

		if (number < 0 || number > 65535)
			report_usage_error("port must be between 0 and 65535, not %s", port);
		dashboard.port = (int) number;
	}
	if (strcmp(login, "password") == 0)
		dashboard.login = LOGIN_PASSWORD;
	else if (strcmp(login, "token") != 0)
		report_usage_error("--login is token or password, not \"%s\"", login);
	if (dashboard.token_file != NULL)
		read_token(dashboard.token_file);
	else
		secret_token(dashboard.token);
	dashboard.secure_cookie = origins != NULL;
	for (const char *origin = origins; origin != NULL && *origin != '\0';)
	{
		size_t		len = strcspn(origin, ",");

		add_origin(origin, len);
		if (strncmp(origin, "https://", 8) != 0)
			dashboard.secure_cookie = false;
		origin += len + (origin[len] == ',');
	}
}

/* Add the names that browsers reach us by, once the port is known */
static void
add_own_origins(void)
{
	const char *names[] = {"127.0.0.1", "localhost", "[::1]", NULL};
	char		origin[300];

	if (dashboard.listen != NULL)
		names[3] = dashboard.listen;
	for (size_t i = 0; i < lengthof(names) && names[i] != NULL; i++)
	{
		bool		bare_ipv6 = names[i][0] != '[' && strchr(names[i], ':') != NULL;

		if (dashboard.port == 80)	/* which browsers leave out */
			snprintf(origin, sizeof(origin), bare_ipv6 ? "http://[%s]" : "http://%s", names[i]);
		else
			snprintf(origin, sizeof(origin), bare_ipv6 ? "http://[%s]:%d" : "http://%s:%d",
					 names[i], dashboard.port);
		add_origin(origin, strlen(origin));
	}
}

/* ------------------------------------------------------------------------
 * Begin, wait, end
 * ------------------------------------------------------------------------ */

/* Return the origin to announce: that of --origin, else the address listened on */
static const char *
first_origin(int given)
{
	if (given > 0 || dashboard.listen == NULL ||
		strcmp(dashboard.listen, "0.0.0.0") == 0 || strcmp(dashboard.listen, "::") == 0)
		return dashboard.origins[0];
	return dashboard.origins[dashboard.norigins - 1];
}

/*
 * Tell where the dashboard is, and its token if that is a new one: one from a
 * file is known to those who may read the file, and output may go to a log.
 */
static void
announce(const char *origin)
{
	bool		token = dashboard.login == LOGIN_TOKEN && dashboard.token_file == NULL;
	char	   *url = xprintf("%s/%s%s", origin, token ? "login?token=" : "login", token ? dashboard.token : "");

	if (options_json)
	{
		Buffer		json = {0};
		char		port[12];

		snprintf(port, sizeof(port), "%d", dashboard.port);
		buffer_add(&json, "{");
		json_member(&json, "url", url);
		json_member(&json, "origin", origin);
		json_member_raw(&json, "port", port);
		json_member(&json, "token", token ? dashboard.token : NULL);
		printf("%s}\n", json.data);
		buffer_free(&json);
	}
	else
	{
		printf("The dashboard is at  %s\n", url);
		if (token)
			printf("The token is         %s\n", dashboard.token);
		else if (dashboard.login == LOGIN_TOKEN)
			printf("The token is that of %s\n", dashboard.token_file);
		if (dashboard.read_only)
			printf("It is read-only.\n");
		printf("Ctrl-C ends it.\n");
	}
	fflush(stdout);
	if (dashboard.listen != NULL && strncmp(dashboard.listen, "127.", 4) != 0 &&
		strcmp(dashboard.listen, "::1") != 0)
		report_error("it listens on %s, and HTTP is not encrypted", dashboard.listen);
	free(url);
}

static int
cmd_dashboard(int argc, char **argv)
{
	sigset_t	signals;
	Buffer		error = {0};
	int			received = 0;
	int			given;

	read_options(argc, argv);
	given = dashboard.norigins;

	/*
	 * before the first thread: all inherit the mask; sigtimedwait() takes
	 * them
	 */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	signal(SIGPIPE, SIG_IGN);

	throttle_init();
	sessions_init();			/* may ask for a password: Ctrl-C ends that */
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	terminal_is_utf8 = true;	/* from here on text is for browsers */

	/*
	 * the threads of the server read the origins: all are added before it
	 * starts
	 */
	if (server_listen(&error))
	{
		add_own_origins();
		(void) server_start(&error);
	}
	if (error.len > 0)
	{
		report_error("%s", error.data);
		return CLI_REFUSED;
	}
	announce(first_origin(given));
	while (received <= 0)
	{
		struct timespec pause = {.tv_sec = 1};

		received = sigtimedwait(&signals, NULL, &pause);
		connections_sweep();
		sessions_sweep();
	}
	server_stop();
	sessions_end();
	return CLI_OK;
}

const Command command_dashboard = {
	"dashboard", "[options]", "Serve a dashboard for the browser", cmd_dashboard,
	"\nOptions:\n"
	"      --http-port=PORT   where it listens (8433; 0: any free port)\n"
	"      --listen=ADDRESS   listen there instead of on 127.0.0.1; 0.0.0.0 is everywhere.  HTTP is\n"
	"                         not encrypted: put a proxy with TLS in front\n"
	"      --origin=URL,...   how browsers reach it, if not by that address:\n"
	"                         https://jobs.example.com\n"
	"      --login=KIND       token: the token logs in, as the role that connects (default);\n"
	"                         password: a role and its password log in, and the server must ask\n"
	"                         for the password (pg_hba.conf)\n"
	"      --token-file=FILE  read the token, instead of making a new one; it is not printed then\n"
	"      --read-only        pages without buttons\n"
	"\nWrites the address to open.  With --json that is one line for programs.\n"
	"GET /metrics wants the token, too: Authorization: Bearer TOKEN.\n"
	"\nExamples:\n"
	"  defer -d shop dashboard\n"
	"  defer -d shop dashboard --read-only --http-port 9000\n"
	"  defer -h db.example.com -d shop dashboard --login password\n"
};
