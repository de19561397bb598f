/*
 * expire.h
 *		Free jobs that are ended instead of run.
 *
 * Each call ends a bounded number of jobs, in a transaction of its own, so that
 * the jobs of one role do not keep the scheduler from those of another.  Jobs
 * that cannot be ended, because of an error, are put off, and others go on.
 */
#ifndef EXPIRE_H
#define EXPIRE_H

#include "base/role_check.h"
#include "shmem/ready_queue.h"

/*
 * Cancel jobs that exceed their limit, where at_limit is "cancel", of one ready
 * queue.  Lowers *next_check if there may be more.
 */
extern void expire_at_limits(TimestampTz now, TimestampTz *next_check);

/* Fail jobs of a role that will never run; lowers *next_check as above */
extern void expire_jobs_of_role(Oid owner, OwnerState state, TimestampTz now,
								TimestampTz *next_check);

#endif							/* EXPIRE_H */
