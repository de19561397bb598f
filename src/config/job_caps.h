/*
 * job_caps.h
 *		New jobs under max_queued of their function and queue: config/job_caps.c.
 */
#ifndef JOB_CAPS_H
#define JOB_CAPS_H

#include "base/job.h"
#include "shmem/caps.h"

/* The caps that a job is under, found before its row is inserted */
typedef struct JobCaps
{
	CapNeed		needs[CAPS_OF_JOB];
	bool		of_queue[CAPS_OF_JOB];
	int			n;
	bool		full;			/* one of them was, and "denial" says which */
	CapDenial	denial;
	uint32		generation;		/* of the settings */
	uint32		count;			/* for caps_take() */
} JobCaps;

/*
 * Insert the row of a job without a key, which settings_set_limits() has dealt with, and
 * count it.  The first raises an error if there is no room, unless job->exceeds_caps; the
 * second returns false then, and leaves no row.
 */
extern int64 job_caps_insert(Job *job);
extern bool job_caps_insert_if_room(Job *job);

/*
 * The same in parts: find the caps, then insert the row, then count it, with the error.  If
 * no row is inserted nothing is counted.  May wait for a session that counts the jobs.
 */
extern void job_caps_find(JobCaps *caps, const Job *job);
extern void job_caps_count(JobCaps *caps, const Job *job);

/* Its place is free at commit: a job that has a row ends, or goes to other caps */
extern void job_caps_ended(const Job *job);

/* A job's row gets another queue or group */
extern void job_caps_moved(const Job *old, const Job *job);

/* Check whether a function or queue has a cap that holds in this transaction */
struct SettingCap;
extern bool setting_cap_holds(const struct SettingCap *cap);

extern void job_caps_state(const struct SettingCap *cap, CapState *state);

#endif							/* JOB_CAPS_H */
