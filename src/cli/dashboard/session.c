/*
 * session.c
 *		Who has logged in.  A session is known by a random cookie, has a connection
 *		of its own, and is one role.
 *
 * With the token all sessions are the role that the program was started as,
 * and connect again when their connection is lost.  A password that somebody
 * typed in is not kept: such a session ends with its connection.
 *
 * Order of locks: sessions_lock, never while a Session's mutex is being waited for.
 */
#include "dashboard/dashboard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_SESSIONS		32

/* Seconds: a session that nobody uses ends; any ends; a connection is closed */
#define IDLE_END			(8 * 3600)
#define OLD_END				(7 * 86400)
#define IDLE_DISCONNECT		15

/* Failed logins within a minute, after which nobody may try */
#define MAX_FAILURES		10

static pthread_mutex_t sessions_lock = PTHREAD_MUTEX_INITIALIZER;
static Session *sessions[MAX_SESSIONS];
static char *start_password = NULL;		/* that the program was started with */

static time_t failures_since = 0;
static int	failures = 0;

/* ------------------------------------------------------------------------
 * Secrets
 * ------------------------------------------------------------------------ */

/* TOKEN_LEN hexadecimal digits that nobody guesses */
void
random_token(char *token)
{
	unsigned char bytes[TOKEN_LEN / 2];
	int			file = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	size_t		got = 0;

	while (file >= 0 && got < sizeof(bytes))
	{
		ssize_t		n = read(file, bytes + got, sizeof(bytes) - got);

		if (n > 0)
			got += n;
		else if (n == 0 || errno != EINTR)
			break;
	}
	if (got < sizeof(bytes))
	{
		complain("could not read /dev/urandom");
		exit(CLI_REFUSED);
	}
	close(file);
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(token + 2 * i, 3, "%02x", bytes[i]);
}

/* Compare in a time that tells nothing about where they differ */
bool
equal_secret(const char *a, const char *b)
{
	size_t		len = strlen(a);
	unsigned char differs = 0;

	if (strlen(b) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		differs |= (unsigned char) (a[i] ^ b[i]);
	return differs == 0;
}

/* May somebody try to log in now? */
bool
login_allowed(void)
{
	bool		allowed;

	pthread_mutex_lock(&sessions_lock);
	if (time(NULL) - failures_since >= 60)
		failures = 0;
	allowed = failures < MAX_FAILURES;
	pthread_mutex_unlock(&sessions_lock);
	return allowed;
}

void
login_failed(void)
{
	struct timespec pause = {.tv_nsec = 300 * 1000 * 1000};

	pthread_mutex_lock(&sessions_lock);
	if (failures++ == 0)
		failures_since = time(NULL);
	pthread_mutex_unlock(&sessions_lock);
	nanosleep(&pause, NULL);
}

/* ------------------------------------------------------------------------
 * Connections
 * ------------------------------------------------------------------------ */

/* A connection as our pages want it; with role NULL of whoever started the program */
PGconn *
session_connect(const char *role, const char *password, Buffer *error)
{
	PGconn	   *conn = role != NULL ? connect_login(role, password, error) :
		connect_try(start_password, error);

	if (conn != NULL && !page_prepare(conn, error))
	{
		PQfinish(conn);
		conn = NULL;
	}
	return conn;
}

/* Note what the role is called, and what the database has */
static bool
look_around(Session *session, PGconn *conn, Buffer *error)
{
	PGresult   *res;
	bool		good;

	res = query_try(conn, "SELECT current_user AS role, current_database() AS database,"
					" pg_catalog.to_regclass('defer.alerts') IS NOT NULL AS alerts", 0, NULL);
	good = PQresultStatus(res) == PGRES_TUPLES_OK;
	if (good)
	{
		snprintf(session->role, sizeof(session->role), "%s", result_text(res, 0, "role"));
		snprintf(session->database, sizeof(session->database), "%s", result_text(res, 0, "database"));
		session->has_alerts = result_true(res, 0, "alerts");
	}
	else
		result_error(error, conn, res);
	PQclear(res);
	return good;
}

/* The connection, which the caller, who holds the mutex, may use; NULL: none */
PGconn *
session_connection(Session *session, Buffer *error)
{
	if (session->conn != NULL && PQstatus(session->conn) != CONNECTION_OK)
	{
		PQfinish(session->conn);
		session->conn = NULL;
	}
	if (session->conn == NULL && session->own_login)
	{
		buffer_add(error, "The connection to the database was lost. Please log in again.");
		session_close(session);
	}
	else if (session->conn == NULL)
	{
		session->conn = session_connect(NULL, NULL, error);
		if (session->conn != NULL && !look_around(session, session->conn, error))
		{
			PQfinish(session->conn);
			session->conn = NULL;
		}
	}
	return session->conn;
}

/* ------------------------------------------------------------------------
 * Sessions
 * ------------------------------------------------------------------------ */

static void
session_free(Session *session)
{
	PQfinish(session->conn);
	pthread_mutex_destroy(&session->mutex);
	memset(session, 0, sizeof(*session));
	free(session);
}

/* Take it out of the table; under sessions_lock */
static void
forget(int i)
{
	Session    *session = sessions[i];

	sessions[i] = NULL;
	session->closed = true;
	if (session->references == 0)
		session_free(session);
}

/* End what is too old, and close connections that nobody uses */
void
sessions_sweep(void)
{
	time_t		now = time(NULL);

	pthread_mutex_lock(&sessions_lock);
	for (int i = 0; i < MAX_SESSIONS; i++)
	{
		Session    *session = sessions[i];

		if (session == NULL || session->references > 0)
			continue;
		if (now - session->used > IDLE_END || now - session->created > OLD_END)
			forget(i);
		else if (now - session->used > IDLE_DISCONNECT && !session->own_login)
		{
			PQfinish(session->conn);
			session->conn = NULL;
		}
	}
	pthread_mutex_unlock(&sessions_lock);
}

/* The session with that cookie, to be released; NULL: none */
Session *
session_find(const char *id)
{
	Session    *found = NULL;
	time_t		now = time(NULL);

	if (id == NULL || strlen(id) != TOKEN_LEN)
		return NULL;
	pthread_mutex_lock(&sessions_lock);
	for (int i = 0; i < MAX_SESSIONS && found == NULL; i++)
	{
		if (sessions[i] == NULL || !equal_secret(sessions[i]->id, id))
			continue;
		if (now - sessions[i]->used > IDLE_END || now - sessions[i]->created > OLD_END)
			forget(i);
		else
		{
			found = sessions[i];
			found->references++;
			found->used = now;
		}
	}
	pthread_mutex_unlock(&sessions_lock);
	return found;
}

void
session_release(Session *session)
{
	pthread_mutex_lock(&sessions_lock);
	if (--session->references == 0 && session->closed)
		session_free(session);
	pthread_mutex_unlock(&sessions_lock);
}

/* Nobody finds it any more */
void
session_close(Session *session)
{
	pthread_mutex_lock(&sessions_lock);
	for (int i = 0; i < MAX_SESSIONS; i++)
	{
		if (sessions[i] == session)
			forget(i);
	}
	pthread_mutex_unlock(&sessions_lock);
}

/* A place in the table: a free one, or that of whoever has been away longest */
static int
find_place(void)
{
	int			oldest = -1;

	for (int i = 0; i < MAX_SESSIONS; i++)
	{
		if (sessions[i] == NULL)
			return i;
		if (oldest < 0 || sessions[i]->used < sessions[oldest]->used)
			oldest = i;
	}
	forget(oldest);
	return oldest;
}

/*
 * A new session, to be released; with role NULL of whoever started the
 * program.  NULL: error says why.
 */
Session *
session_login(const char *role, const char *password, Buffer *error)
{
	Session    *session = xmalloc(sizeof(Session));

	memset(session, 0, sizeof(*session));
	random_token(session->id);
	random_token(session->csrf);
	session->created = session->used = time(NULL);
	session->references = 1;
	session->own_login = role != NULL;
	pthread_mutex_init(&session->mutex, NULL);
	session->conn = session_connect(role, password, error);
	if (session->conn == NULL || !look_around(session, session->conn, error))
	{
		session_free(session);
		return NULL;
	}
	pthread_mutex_lock(&sessions_lock);
	sessions[find_place()] = session;
	pthread_mutex_unlock(&sessions_lock);
	return session;
}

/* Try to connect, so that what is wrong shows at once and not in the browser */
void
sessions_init(void)
{
	PGconn	   *conn;

	if (dashboard.login == LOGIN_PASSWORD)
		return;
	conn = connect_server();
	if (PQconnectionUsedPassword(conn))
		start_password = xstrdup(PQpass(conn));
	PQfinish(conn);
}

void
sessions_end(void)
{
	pthread_mutex_lock(&sessions_lock);
	for (int i = 0; i < MAX_SESSIONS; i++)
	{
		if (sessions[i] != NULL)
			forget(i);
	}
	pthread_mutex_unlock(&sessions_lock);
	free(start_password);
}
