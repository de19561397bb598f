/*
 * server.h
 *		The web server.
 */
#ifndef DASHBOARD_SERVER_H
#define DASHBOARD_SERVER_H

#include "core/buffer.h"

extern bool server_start(Buffer *error);
extern void server_stop(void);

#endif							/* DASHBOARD_SERVER_H */
