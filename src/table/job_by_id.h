/*
 * job_by_id.h
 *		One row of defer.job by its id, by direct access to the table.
 */
#ifndef DEFER_JOB_BY_ID_H
#define DEFER_JOB_BY_ID_H

#include "base/job.h"
#include "table/tid_cache.h"

/* Read one row by id, as of now (not of the snapshot). false: no such row */
extern bool job_read(int64 id, Job *job);

/*
 * Read and lock one row FOR UPDATE; unless skip_locked waits for who holds it.
 * The latest version is read.  job_lock_claim(): only while it has that claim
 * (0: none), else it is as if it were gone, and nothing is locked.
 */
typedef enum JobLock
{
	JOB_LOCKED,
	JOB_GONE,
	JOB_BUSY
} JobLock;
extern JobLock job_lock(int64 id, bool skip_locked, Job *job);
extern JobLock job_lock_claim(int64 id, int64 claim, bool skip_locked, Job *job);

/*
 * Read and delete a row while it has that claim, at once; waits for who holds it.
 * false: there is none that has.  place: where the claim has left it, invalid: not known.
 */
extern bool job_delete_claim(int64 id, int64 claim, CachedTid *place, Job *job);

/*
 * Change and delete a row that job_lock() has locked.  job_update writes all
 * the columns from the struct, job_update_claim is the HOT one.  Neither
 * calls xact_notify_job(): the caller does when the row is free to be taken.
 */
extern void job_update(const Job *job);
extern void job_delete(int64 id);

#endif							/* DEFER_JOB_BY_ID_H */
