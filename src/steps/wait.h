/*
 * wait.h
 *		Steps that wait for jobs: steps/wait.c.
 */
#ifndef STEPS_WAIT_H
#define STEPS_WAIT_H

#include "fmgr.h"

/* How a step goes on that would fail */
#define WAIT_GOES_ON	"With on_failure => 'return' the procedure goes on."

/* Read on_failure, argument n.  Returns whether the step is to fail: yes by itself */
extern bool wait_read_on_failure(FunctionCallInfo fcinfo, int n);

/*
 * Fail the job for good, as one that its step waits for has ended in that state.  The message
 * has that job's own error, behind what the job is to the step; NULL: nothing but the one that
 * it waits for.  others: more of them that did not succeed.  The hint is how the step would
 * have gone on.
 */
pg_noreturn extern void wait_raise_failure(int64 id, char state, const char *what, int others,
										   const char *hint);

#endif							/* STEPS_WAIT_H */
