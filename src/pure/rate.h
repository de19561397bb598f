/*
 * rate.h
 *		Rates: how often something may begin, by the generic cell rate algorithm.
 *
 * A rate of N in a period lets one begin each "interval", the period divided by N
 * and rounded up.  What is remembered is one time, "used": when all that has begun
 * would have begun at the latest if it had come one interval after the other, and
 * one interval more.  One may begin at a time t if
 *
 *		t >= used - (burst - 1) * interval
 *
 * and makes of used the larger of used and t, and one interval more.  So "burst" may
 * begin at once, and in any half-open span of the period at most N + burst - 1.
 * Times are microseconds of a clock that is not set.
 */
#ifndef DEFER_RATE_H
#define DEFER_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Largest burst, and longest period in microseconds: their product is a time */
#define RATE_BURST_MAX	100000
#define RATE_PERIOD_MAX	(INT64_C(366) * 24 * 3600 * 1000000)

typedef struct Rate
{
	int64_t		interval;		/* microseconds; 0: no limit */
	int32_t		burst;			/* 1 or more */
} Rate;

/*
 * Read a text such as '100/minute', '5/10 s' or '1/2 hours', or 'none'.  False: it
 * is none, and "problem" is why, in one line.
 */
extern bool rate_parse(const char *text, int64_t *interval, char *problem, size_t size);

/* When the next one may begin, not before now */
extern int64_t rate_next(const Rate *rate, int64_t used, int64_t now);

/* When the one may begin that comes after "others", which begin as early as they may */
extern int64_t rate_next_after(const Rate *rate, int64_t used, int64_t now, int32_t others);

/* How many may begin from now to that time */
extern int32_t rate_room(const Rate *rate, int64_t used, int64_t now, int64_t until);

/* What is to be remembered when one begins at that time, which is not before rate_next() */
extern int64_t rate_take(const Rate *rate, int64_t used, int64_t at);

/* What is to be remembered if all of the burst may have begun at that time */
extern int64_t rate_all_used(const Rate *rate, int64_t at);

/* What is to be remembered when the rate changes.  None has begun later than "ahead" from now */
extern int64_t rate_change(const Rate *old, const Rate *rate, int64_t used, int64_t now,
						   int64_t ahead);

#endif							/* DEFER_RATE_H */
