/*
 * connect.h
 *		Connections to the server, with the options of psql.
 */
#ifndef CLI_CONNECT_H
#define CLI_CONNECT_H

#include "core/buffer.h"

#include "libpq-fe.h"

typedef struct ConnectOptions
{
	const char *host;
	const char *port;
	const char *user;
	const char *dbname;			/* also a URI or a conninfo string */
	enum
	{
		PASSWORD_IF_ASKED, PASSWORD_NEVER, PASSWORD_ALWAYS
	}			password;
} ConnectOptions;

extern ConnectOptions connect_options;

extern PGconn *connect_or_exit(void);
extern PGconn *connect_try(const char *password, Buffer *error);
extern PGconn *connect_login(const char *role, const char *password,
							 bool *refused, Buffer *error);

#endif							/* CLI_CONNECT_H */
