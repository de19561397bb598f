/*
 * wait.h
 *		Steps that wait for jobs: steps/wait.c.
 */
#ifndef STEPS_WAIT_H
#define STEPS_WAIT_H

#include "fmgr.h"

/* Read on_failure, argument n.  Returns whether the step is to fail: yes by itself */
extern bool wait_read_on_failure(FunctionCallInfo fcinfo, int n);

/* Fail the job for good, as one that its step waits for has ended in that state */
pg_noreturn extern void wait_raise_failure(int64 id, char state);

#endif							/* STEPS_WAIT_H */
