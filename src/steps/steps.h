/*
 * steps.h
 *		Durable procedures: the part of src/steps/ that the worker calls.
 */
#ifndef STEPS_H
#define STEPS_H

/*
 * The job's code has come to its end, in its transaction: error if it has misused
 * steps, whatever it has caught.
 */
extern void steps_check_end(void);

/* Check whether a wait is committed: then the job's row is not ours any more */
extern bool steps_waits(void);

/* The pass is over, however it has ended */
extern void steps_forget(void);

#endif							/* STEPS_H */
