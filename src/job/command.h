/*
 * command.h
 *		Jobs that are one SQL statement: job/command.c.
 */
#ifndef JOB_COMMAND_H
#define JOB_COMMAND_H

#include "base/job.h"

/* Check a statement when it is enqueued: error if it is more than one, or of no use as a job */
extern void command_check(const char *sql);

/* Run it, as execute_job() does; returns its result */
extern Jsonb *command_run(const Job *job);

#endif							/* JOB_COMMAND_H */
