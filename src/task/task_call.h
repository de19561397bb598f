/*
 * task_call.h
 *		Arguments that the calls of workers outside of the server have in common.
 */
#ifndef DEFER_TASK_CALL_H
#define DEFER_TASK_CALL_H

#include "fmgr.h"

#include "shmem/ready_queue.h"

/*
 * Read the tasks and queues that a worker asks for, which are these arguments, in the
 * current memory context.  Error if one is not there, or the current user may not work
 * on it; by itself all that it may work on, in all queues.
 */
extern void task_read_wanted(FunctionCallInfo fcinfo, int tasks_argument, int queues_argument,
							 ReadyTasks *tasks);

/* Microseconds of a lease.  Error if it is too short or too long */
extern int64 task_read_length(FunctionCallInfo fcinfo, int argument, const char *name);

/* The name of the worker; NULL: it has none.  Error if it is too long */
extern char *task_read_worker(FunctionCallInfo fcinfo, int argument);

/* Raise an error if there is no shared memory of ours */
extern void task_check_loaded(void);

#endif							/* DEFER_TASK_CALL_H */
