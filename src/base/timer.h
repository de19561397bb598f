/*
 * timer.h
 *		Time that nobody sets, and a timer on it.
 */
#ifndef MONOTONIC_H
#define MONOTONIC_H

#include "postgres.h"

extern int64 monotonic_now(void);	/* microseconds */

/*
 * A function that is called again and again.  Once in the process.  The function is called in a signal handler: it may set
 * flags and latches, no more.
 */
extern void ticker_init(void (*function) (void));

extern void ticker_start(int milliseconds);
extern void ticker_stop(void);

#endif							/* MONOTONIC_H */
