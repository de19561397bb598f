/*
 * dashboard.c
 *		defer dashboard: a small web server on loopback, with pages that show and
 *		steer what is in the database.
 */
#include "dashboard/dashboard.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PORT	8433

DashboardOptions dashboard;

const char	dashboard_help[] =
"\nOptions:\n"
"      --http-port=PORT   where it listens (8433; 0: any port that is free)\n"
"      --listen=ADDRESS   not on 127.0.0.1 but there; 0.0.0.0 is everywhere.  What goes over the\n"
"                         network is not encrypted: put a proxy with TLS in front of it\n"
"      --origin=URL,...   how browsers reach it, if that is by other names than the address:\n"
"                         https://jobs.example.com\n"
"      --login=KIND       token: whoever has the token is the role that connects (default);\n"
"                         password: each logs in with a role and its password, which the server\n"
"                         must ask for (pg_hba.conf)\n"
"      --token-file=FILE  the token, instead of a new one at each start\n"
"      --read-only        look, change nothing\n"
"\nIt says which address to open.  With --json that is one line for programs.\n"
"GET /metrics wants the token, too: Authorization: Bearer TOKEN.\n"
"\nExamples:\n"
"  defer -d shop dashboard\n"
"  defer -d shop dashboard --read-only --http-port 9000\n"
"  defer -h db.example.com -d shop dashboard --login password\n";

/* ------------------------------------------------------------------------
 * Options
 * ------------------------------------------------------------------------ */

/* Our address as browsers write it, without a slash at its end */
static void
add_origin(const char *origin, size_t len)
{
	while (len > 0 && origin[len - 1] == '/')
		len--;
	if (dashboard.norigins == (int) lengthof(dashboard.origins) || len >= sizeof(dashboard.origins[0]))
		usage_error("too many origins, or one that is too long");
	if (strncmp(origin, "http://", 7) != 0 && strncmp(origin, "https://", 8) != 0)
		usage_error("an origin begins with http:// or https://");
	if (memchr(origin + 8, '/', len > 8 ? len - 8 : 0) != NULL)
		usage_error("an origin has no path");
	memcpy(dashboard.origins[dashboard.norigins], origin, len);
	dashboard.origins[dashboard.norigins++][len] = '\0';
}

static void
read_token(const char *name)
{
	FILE	   *file = fopen(name, "r");

	if (file == NULL || fgets(dashboard.token, sizeof(dashboard.token), file) == NULL)
	{
		complain("could not read the token from \"%s\": %s", name,
				 file == NULL ? strerror(errno) : "it is empty");
		exit(CLI_USAGE);
	}
	fclose(file);
	dashboard.token[strcspn(dashboard.token, "\r\n")] = '\0';
	if (strlen(dashboard.token) < 16)
		usage_error("the token in \"%s\" has less than 16 characters", name);
}

static void
read_options(int argc, char **argv)
{
	const char *port = NULL;
	const char *origins = NULL;
	const char *login = "token";
	const char *token_file = NULL;
	const Option options[] = {
		{"http-port", 0, OPTION_NUMBER, &port},
		{"listen", 0, OPTION_TEXT, &dashboard.listen},
		{"origin", 0, OPTION_TEXT, &origins},
		{"login", 0, OPTION_TEXT, &login},
		{"token-file", 0, OPTION_TEXT, &token_file},
		{"read-only", 0, OPTION_FLAG, &dashboard.read_only},
		{NULL}
	};

	options_parse(argc, argv, options, 0, 0, NULL);
	dashboard.port = DEFAULT_PORT;
	if (port != NULL)
	{
		long		number = strtol(port, NULL, 10);

		if (number < 0 || number > 65535)
			usage_error("port must be between 0 and 65535, not %s", port);
		dashboard.port = (int) number;
	}
	if (strcmp(login, "password") == 0)
		dashboard.login = LOGIN_PASSWORD;
	else if (strcmp(login, "token") != 0)
		usage_error("--login is token or password, not \"%s\"", login);
	if (token_file != NULL)
		read_token(token_file);
	else
		random_token(dashboard.token);
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

/* By which names browsers reach us, once the port is known */
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

/* The one to tell: what --origin says; else where we listen, if that is one address */
static const char *
first_origin(int given)
{
	if (given > 0 || dashboard.listen == NULL ||
		strcmp(dashboard.listen, "0.0.0.0") == 0 || strcmp(dashboard.listen, "::") == 0)
		return dashboard.origins[0];
	return dashboard.origins[dashboard.norigins - 1];
}

static void
announce(const char *origin)
{
	bool		token = dashboard.login == LOGIN_TOKEN;
	char	   *url = xprintf("%s/%s%s", origin, token ? "login?token=" : "login", token ? dashboard.token : "");

	if (json_wanted)
	{
		Json		json = {0};

		json_open(&json, '{');
		json_key_string(&json, "url", url);
		json_key_string(&json, "origin", origin);
		json_key(&json, "port");
		json_int(&json, dashboard.port);
		json_key_string(&json, "token", token ? dashboard.token : NULL);
		json_close(&json, '}');
		json_print(&json);
	}
	else
	{
		printf("The dashboard is at  %s\n", url);
		if (token)
			printf("The token is         %s\n", dashboard.token);
		if (dashboard.read_only)
			printf("It is read-only.\n");
		printf("Ctrl-C ends it.\n");
	}
	fflush(stdout);
	if (dashboard.listen != NULL && strncmp(dashboard.listen, "127.", 4) != 0 && strcmp(dashboard.listen, "::1") != 0)
		complain("it listens on %s, and what goes over the network is not encrypted", dashboard.listen);
	free(url);
}

int
cmd_dashboard(int argc, char **argv)
{
	sigset_t	signals;
	Buffer		error = {0};
	int			received = 0;
	int			given;

	read_options(argc, argv);
	given = dashboard.norigins;

	/* before any thread is: all of them inherit it, and we wait for them below */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	signal(SIGPIPE, SIG_IGN);

	sessions_init();			/* may ask for a password: Ctrl-C ends that */
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	stdout_is_utf8 = true;		/* what we write from now on goes to browsers */
	if (!http_start(&error))
	{
		complain("%s", error.data);
		return CLI_REFUSED;
	}
	add_own_origins();
	announce(first_origin(given));
	while (received <= 0)
	{
		struct timespec pause = {.tv_sec = 5};

		received = sigtimedwait(&signals, NULL, &pause);
		sessions_sweep();
	}
	http_stop();
	sessions_end();
	return CLI_OK;
}
