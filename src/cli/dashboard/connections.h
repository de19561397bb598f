/*
 * connections.h
 *		The open connections of browsers, and how long each may take.
 */
#ifndef DASHBOARD_CONNECTIONS_H
#define DASHBOARD_CONNECTIONS_H

#include "core/base.h"

#include <microhttpd.h>

/* Room for an address as text */
#define CONNECTION_ADDRESS_LEN	64

/* Connections, and how many the library needs to have while some are closed */
#define CONNECTIONS_MAX			64
#define CONNECTIONS_LIBRARY_MAX	(2 * CONNECTIONS_MAX)

/* Seconds from the end of a request to the end of the next, but for our work */
#define CONNECTION_SECONDS		20

extern void connections_notify(void *cls, struct MHD_Connection *connection, void **context,
							   enum MHD_ConnectionNotificationCode code);
extern void connection_received(struct MHD_Connection *connection);
extern void connection_answered(struct MHD_Connection *connection);
extern void connection_completed(struct MHD_Connection *connection);
extern const char *connection_address(struct MHD_Connection *connection);
extern void connections_sweep(void);

#endif							/* DASHBOARD_CONNECTIONS_H */
