/*
 * timer.h
 *		A clock that cannot be set, and a timer on it.
 */
#ifndef MONOTONIC_H
#define MONOTONIC_H

#include "postgres.h"

extern int64 monotonic_now(void);	/* microseconds */

/*
 * Name the function that is called again and again, once in the process.  It is
 * called in a signal handler: it may set flags and latches, no more.
 */
extern void interval_timer_init(void (*function) (void));

extern void interval_timer_start(int milliseconds);
extern void interval_timer_stop(void);

#endif							/* MONOTONIC_H */
