/*
 * wait.h
 *		Waiting for the end of a job.
 */
#ifndef CLI_WAIT_H
#define CLI_WAIT_H

#include "core/base.h"

#include "libpq-fe.h"

extern int	wait_for_job(PGconn *conn, const char *id, double timeout, bool with_children);

#endif							/* CLI_WAIT_H */
