/*
 * steps.h
 *		Durable procedures: the part of src/steps/ that the worker calls.
 */
#ifndef STEPS_H
#define STEPS_H

#include "utils/jsonb.h"

/*
 * The job's code has come to its end, in its transaction, with that result: error if it
 * has misused steps, whatever it has caught.  Returns the result of the job.
 */
extern Jsonb *steps_end(Jsonb *result);

/* Check whether a wait is committed: then the job's row is not ours any more */
extern bool steps_waits(void);

/* The pass is over, however it has ended */
extern void steps_forget(void);

#endif							/* STEPS_H */
