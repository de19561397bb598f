/*
 * clock.h
 *		Time that only passes.
 */
#ifndef CLI_CLOCK_H
#define CLI_CLOCK_H

#include <time.h>

/* Return the seconds since some instant in the past; never set back */
static inline double
clock_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

#endif							/* CLI_CLOCK_H */
