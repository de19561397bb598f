/*
 * lost_jobs.c
 *		Jobs that ran when their worker ended: see lost_jobs.h.
 */
#include "pure/lost_jobs.h"

#include <string.h>

void
lost_jobs_add(LostJobs *jobs, int64_t id)
{
	if (jobs->n < LOST_MAX)
		jobs->ids[jobs->n] = id;
	jobs->n++;
}

bool
lost_jobs_has(const LostJobs *jobs, int64_t id, bool unknown)
{
	if (jobs->n > LOST_MAX)
		return unknown;
	for (int i = 0; i < jobs->n; i++)
	{
		if (jobs->ids[i] == id)
			return true;
	}
	return false;
}

void
lost_jobs_forget(LostJobs *jobs, int n)
{
	int			left = jobs->n - n;

	if (jobs->n <= LOST_MAX)
		memmove(jobs->ids, jobs->ids + n, (size_t) left * sizeof(jobs->ids[0]));
	else if (left > 0)
		left = LOST_MAX + 1;	/* the ids of those that have come last were
								 * not kept */
	jobs->n = left;
}
