/*
 * execute.h
 *		Running a job's function, procedure or command.
 *
 * In the transaction that the worker has opened (a procedure or VACUUM may have
 * replaced it on return); errors are thrown.  The result is JSON or NULL, in the
 * current memory context, which must outlive transactions.
 */
#ifndef DEFER_EXECUTE_H
#define DEFER_EXECUTE_H

#include "base/job.h"

extern Jsonb *execute_job(const Job *job);
extern void command_check(const char *sql); /* at enqueue: one statement, allowed kind */

#endif							/* DEFER_EXECUTE_H */
