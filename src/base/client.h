/*
 * client.h
 *		The client of this session.
 */
#ifndef DEFER_CLIENT_H
#define DEFER_CLIENT_H

#include "postgres.h"

/* Returns its socket; PGINVALID_SOCKET: this process has no client */
extern pgsocket client_socket(void);

/* Returns its host, "[local]" for a local socket; "": this process has no client */
extern const char *client_host(void);

#endif							/* DEFER_CLIENT_H */
