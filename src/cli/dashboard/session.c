/*
 * session.c
 *		Logged-in browsers, and their connections to the database.
 *
 * A session is known by a random cookie, is one role, and has a connection of
 * its own.  With the token all sessions are the role that the program was
 * started as, and connect again when their connection is lost.  A password that
 * was typed in is not kept: such a session ends with its connection.
 *
 * Order of locks: a thread that holds sessions_lock never waits for the mutex of
 * a session.
 */
#include "dashboard/session.h"

#include <stdlib.h>
#include <string.h>

#include "core/connect.h"
#include "dashboard/dashboard.h"
#include "dashboard/page.h"

#define MAX_SESSIONS		32

/* Seconds until an unused session ends, any session ends, a connection closes */
#define IDLE_END			(8 * 3600)
#define OLD_END				(7 * 86400)
#define IDLE_DISCONNECT		15

static pthread_mutex_t sessions_lock = PTHREAD_MUTEX_INITIALIZER;
static Session *sessions[MAX_SESSIONS];
static uint64_t uses = 0;		/* of sessions, so far */
static char *start_password = NULL; /* that the program was started with */

/* ------------------------------------------------------------------------
 * Connections
 * ------------------------------------------------------------------------ */

/*
 * Connect as a role with its password, or with role NULL as the program was
 * started.  NULL: error says why not, and refused whether role or password was
 * the reason.
 */
PGconn *
session_connect(const char *role, const char *password, bool *refused, Buffer *error)
{
	PGconn	   *conn;

	*refused = false;
	conn = role != NULL ? connect_login(role, password, refused, error) :
		connect_try(start_password, error);
	if (conn != NULL && !page_prepare_connection(conn, error))
	{
		PQfinish(conn);
		conn = NULL;
	}
	return conn;
}

/* Note the names of the role and the database, for display */
static bool
read_names(Session *session, PGconn *conn, Buffer *error)
{
	PGresult   *res = query_try(conn, "SELECT current_user AS role, current_database() AS database", 0, NULL);
	bool		good = result_good(res);

	if (good)
	{
		snprintf(session->role, sizeof(session->role), "%s", result_text(res, 0, "role"));
		snprintf(session->database, sizeof(session->database), "%s", result_text(res, 0, "database"));
	}
	else
		result_error(error, conn, res);
	PQclear(res);
	return good;
}

/*
 * Return the session's connection, opened if need be; NULL: error says why not.
 * The caller holds the session's mutex.
 */
PGconn *
session_connection(Session *session, Buffer *error)
{
	bool		refused;

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
		session->conn = session_connect(NULL, NULL, &refused, error);
		if (session->conn != NULL && !read_names(session, session->conn, error))
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

/* Remove a session from the table; under sessions_lock */
static void
remove_session(int i)
{
	Session    *session = sessions[i];

	sessions[i] = NULL;
	session->closed = true;
	if (session->references == 0)
		session_free(session);
}

/* End old sessions, and close connections that are not used */
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
			remove_session(i);
		else if (now - session->used > IDLE_DISCONNECT && !session->own_login)
		{
			PQfinish(session->conn);
			session->conn = NULL;
		}
	}
	pthread_mutex_unlock(&sessions_lock);
}

/* Return the session of a cookie, to be released; NULL: there is none */
Session *
session_find(const char *id)
{
	Session    *found = NULL;
	time_t		now = time(NULL);

	if (id == NULL || strlen(id) != SECRET_LEN)
		return NULL;
	pthread_mutex_lock(&sessions_lock);
	for (int i = 0; i < MAX_SESSIONS && found == NULL; i++)
	{
		if (sessions[i] == NULL || !secret_equal(sessions[i]->id, id))
			continue;
		if (now - sessions[i]->used > IDLE_END || now - sessions[i]->created > OLD_END)
			remove_session(i);
		else
		{
			found = sessions[i];
			found->references++;
			found->used = now;
			found->use = ++uses;
		}
	}
	pthread_mutex_unlock(&sessions_lock);
	return found;
}

/* Give a session back */
void
session_release(Session *session)
{
	pthread_mutex_lock(&sessions_lock);
	if (--session->references == 0 && session->closed)
		session_free(session);
	pthread_mutex_unlock(&sessions_lock);
}

/* End a session; it is freed with its last reference */
void
session_close(Session *session)
{
	pthread_mutex_lock(&sessions_lock);
	for (int i = 0; i < MAX_SESSIONS; i++)
	{
		if (sessions[i] == session)
			remove_session(i);
	}
	pthread_mutex_unlock(&sessions_lock);
}

/* Return a free place of the table, or that of the session unused for longest */
static int
find_place(void)
{
	int			oldest = -1;

	for (int i = 0; i < MAX_SESSIONS; i++)
	{
		if (sessions[i] == NULL)
			return i;
		if (oldest < 0 || sessions[i]->use < sessions[oldest]->use)
			oldest = i;
	}
	remove_session(oldest);
	return oldest;
}

/*
 * Return a new session, to be released; arguments and errors as of
 * session_connect().
 */
Session *
session_login(const char *role, const char *password, bool *refused, Buffer *error)
{
	Session    *session = xmalloc(sizeof(Session));

	memset(session, 0, sizeof(*session));
	secret_token(session->id);
	secret_token(session->csrf);
	session->created = session->used = time(NULL);
	session->references = 1;
	session->own_login = role != NULL;
	pthread_mutex_init(&session->mutex, NULL);
	session->conn = session_connect(role, password, refused, error);
	if (session->conn == NULL || !read_names(session, session->conn, error))
	{
		session_free(session);
		return NULL;
	}
	pthread_mutex_lock(&sessions_lock);
	session->use = ++uses;
	sessions[find_place()] = session;
	pthread_mutex_unlock(&sessions_lock);
	return session;
}

/* Connect once, so that errors show at the start and not in the browser */
void
sessions_init(void)
{
	PGconn	   *conn;

	if (dashboard.login == LOGIN_PASSWORD)
		return;
	conn = connect_or_exit();
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
			remove_session(i);
	}
	pthread_mutex_unlock(&sessions_lock);
	free(start_password);
}
