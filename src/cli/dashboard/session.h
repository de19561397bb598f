/*
 * session.h
 *		Logged-in browsers, and their connections to the database.
 */
#ifndef DASHBOARD_SESSION_H
#define DASHBOARD_SESSION_H

#include "core/buffer.h"
#include "dashboard/secret.h"

#include <pthread.h>
#include <time.h>

#include "libpq-fe.h"

/* With the end: the server knows names of zones, and rules instead of them, of up to 255 bytes */
#define ZONE_SIZE	256

typedef struct Session
{
	char		id[SECRET_LEN + 1]; /* the cookie */
	char		csrf[SECRET_LEN + 1];	/* in each form */
	char		role[256];		/* for display */
	char		database[256];
	bool		own_login;		/* with a password, which is not kept */
	time_t		created;
	time_t		used;
	uint64_t	use;			/* its number among all uses: a second has
								 * many */
	int			references;		/* requests that use the session now */
	bool		closed;			/* freed with its last reference */
	pthread_mutex_t mutex;		/* protects the fields below */
	PGconn	   *conn;			/* NULL: not connected */
	char		zone[ZONE_SIZE];	/* of all times; "": that of the
									 * connection */
	char		typed[SECRET_LEN + 1];	/* an address with this token fills in
										 * forms; "": none */
	char		message[400];	/* result of the last action, shown once */
	bool		message_bad;
} Session;

extern void sessions_init(void);
extern void sessions_end(void);
extern void sessions_sweep(void);
extern Session *session_find(const char *id);
extern Session *session_login(const char *role, const char *password, bool *refused, Buffer *error);
extern void session_release(Session *session);
extern void session_close(Session *session);
extern PGconn *session_connect(const char *role, const char *password, bool *refused,
							   Buffer *error);
extern PGconn *session_connection(Session *session, Buffer *error);

#endif							/* DASHBOARD_SESSION_H */
