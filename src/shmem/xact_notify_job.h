/*
 * xact_notify_job.h
 *		Jobs that become ready when this transaction commits: as xact_notify.h, for
 *		the files that write rows of jobs.
 */
#ifndef DEFER_XACT_NOTIFY_JOB_H
#define DEFER_XACT_NOTIFY_JOB_H

#include "postgres.h"

#include "datatype/timestamp.h"

struct DatabaseSlot;
struct Job;

/* A job may be claimed from run_at on; "infinity": it is held, and this does nothing */
extern void xact_notify_job(const struct Job *job);

/* Counts those calls of this process: another number, and there may be jobs to claim */
extern uint64 xact_notify_jobs_noted(void);

/* The rest is for xact_notify.c.  There are jobs; roles were left out; forget them all */
extern bool xact_notify_jobs_pending(void);
extern bool xact_notify_jobs_left_out(void);
extern void xact_notify_jobs_forget(void);

/*
 * After the commit.  *next_due is lowered to when the first of the jobs is due that
 * are not yet; *grow is set if there are more than idle workers take up, *wake
 * if the scheduler is needed for another reason.
 */
extern void xact_notify_jobs_commit(TimestampTz *next_due, bool *grow, bool *wake);

/*
 * Check whether the scheduler can do something for jobs that found no idle
 * worker.  If all workers that there may be are there it can make room among
 * those of others as they become idle, for which it looks now and then once it
 * knows.  The caller holds workers_lock.
 */
extern bool xact_notify_jobs_need_workers(const struct DatabaseSlot *db);

#endif							/* DEFER_XACT_NOTIFY_JOB_H */
