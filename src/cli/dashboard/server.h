/*
 * server.h
 *		The web server.
 */
#ifndef DASHBOARD_SERVER_H
#define DASHBOARD_SERVER_H

#include "core/buffer.h"

/*
 * Open the socket, which sets dashboard.port, and then answer requests, in threads
 * that read "dashboard" without a lock.  False: error says why not.
 */
extern bool server_listen(Buffer *error);
extern bool server_start(Buffer *error);
extern void server_stop(void);

#endif							/* DASHBOARD_SERVER_H */
