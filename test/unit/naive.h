/*
 * naive.h
 *		Cron schedules the slow and obvious way: what pure/cron/cron.c must agree with.
 */
#ifndef NAIVE_H
#define NAIVE_H

#include "pure/cron/cron.h"

/* A broken-down local time, counted up field by field */
typedef struct NaiveTime
{
	int			year;
	int			month;
	int			day;
	int			hour;
	int			minute;
	int			second;
	int			weekday;		/* 0 is Sunday */
} NaiveTime;

/* From local seconds, and one second on */
extern NaiveTime naive_time(int64_t local);
extern void naive_tick(NaiveTime *time);
extern int	naive_month_length(int year, int month);

/* Does a valid text of five or six fields match that local time? */
extern bool naive_matches(const char *text, const NaiveTime *time);
/* The same for the three fields of the date only, and for the time only */
extern bool naive_matches_date(const char *text, const NaiveTime *time);
extern bool naive_matches_time(const char *text, const NaiveTime *time);

/*
 * The instants at which a text fires from "from" to "until" (exclusive) in a
 * zone, second by second.  Returns how many; at most "max" are stored.
 */
extern int	naive_list(const char *text, const CronZone *zone, int64_t from,
					   int64_t until, int64_t *list, int max);

/* A random valid text of five or six fields; not necessarily one that fires */
extern void random_schedule(char *buf, size_t size, bool rare);

#endif							/* NAIVE_H */
