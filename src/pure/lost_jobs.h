/*
 * lost_jobs.h
 *		Jobs that ran when their worker ended, and whose end is not written yet.
 *		Pure: no server in it.
 *
 * Workers add to the list as they exit, while recovery takes a copy, finalizes what is
 * in that, and has it forgotten.  Of more than LOST_MAX some are counted only.
 */
#ifndef LOST_JOBS_H
#define LOST_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#define LOST_MAX	32

typedef struct LostJobs
{
	int			n;				/* more than LOST_MAX: any job may be one of
								 * them */
	int64_t		ids[LOST_MAX];
} LostJobs;

extern void lost_jobs_add(LostJobs *jobs, int64_t id);

/* Check whether the job is one; "unknown" is the answer where not all are known */
extern bool lost_jobs_has(const LostJobs *jobs, int64_t id, bool unknown);

/* Forget the first n, which were all of them when the copy was taken */
extern void lost_jobs_forget(LostJobs *jobs, int n);

#endif							/* LOST_JOBS_H */
