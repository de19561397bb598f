/*
 * job_logs.h
 *		What a job has said: commands/job_logs.c.
 */
#ifndef CLI_JOB_LOGS_H
#define CLI_JOB_LOGS_H

#include <libpq-fe.h>

/* Print rows of defer.logs, with a heading; nothing if there are none */
extern void job_logs_print(const PGresult *logs);

/* Print what the job says, as it comes, until it has ended */
extern void job_logs_follow(PGconn *conn, const char *id);

#endif							/* CLI_JOB_LOGS_H */
