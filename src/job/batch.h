/*
 * batch.h
 *		The jobs that a worker has taken: job/claim.c or job/steal.c takes them, process/worker.c
 *		runs them one after the other, job/finish.c writes how each ended, and
 *		job/batch.c finalizes them when the next are taken.
 */
#ifndef BATCH_H
#define BATCH_H

#include "access/xlogdefs.h"

#include "base/job.h"
#include "base/own_transaction.h"
#include "table/tid_cache.h"
#include "shmem/limits.h"
#include "shmem/ready_queue.h"
#include "shmem/workers.h"

typedef enum BatchJobState
{
	JOB_TAKEN,					/* not begun; see the entry in the worker's
								 * slot */
	JOB_SUCCEEDED,				/* its row is still to be deleted */
	JOB_SETTLED					/* nothing left to do */
} BatchJobState;

typedef struct BatchJob
{
	Job			job;
	int			group;			/* index in the batch's groups */
	CachedTid	place;			/* of its row as we wrote it last */
	BatchJobState state;
	TimestampTz started_at;		/* these: of JOB_SUCCEEDED */
	TimestampTz finished_at;
} BatchJob;

/* The process' batch.  Jobs live in "context" until the next batch */
typedef struct Batch
{
	MemoryContext context;
	int64		claim_id;		/* 0: none */
	CachedTid	claim_place;	/* of its row */
	XLogRecPtr	claim_lsn;		/* its commit ends here; 0: it is flushed */
	LimitScopes scopes;			/* its limits, but for groups */
	bool		reserved;		/* we have a place under these */
	int			ngroups;
	int64		groups[READY_CLAIM_MAX];	/* hashes of their names; 0: of no
											 * group */
	FairCharge	charges[READY_CLAIM_MAX];	/* of these */
	bool		rated[READY_CLAIM_MAX]; /* a limit of its jobs may have a rate */
	bool		ordered[READY_CLAIM_MAX];	/* its jobs run in order */
	bool		counted[READY_CLAIM_MAX];	/* the claim has counted them: see
											 * shmem/rates.c */
	Size		bytes;			/* about so much memory */
	uint64		settings;		/* settings_generation() when it was taken; 0:
								 * of before */
	int			njobs;
	BatchJob	jobs[BATCH_MAX];
} Batch;

typedef enum BatchWithdraw
{
	BATCH_NOT_CLAIMED,			/* no live worker has it */
	BATCH_WITHDRAWN,			/* it waited in a batch, and is out of it: the
								 * caller may change the row */
	BATCH_RUNNING,				/* it runs, or has just ended */
} BatchWithdraw;

/*
 * Check whether a process runs the job.  If it only waited in a batch, it is
 * out of that now
 */
extern bool batch_job_runs(int64 job_id);
extern bool batch_cancel_job(int64 job_id); /* force: false when no worker
											 * runs it */

extern Batch batch;

/* In a transaction of its own */
extern void batch_finalize(void);

/*
 * job/batch.c.  Before a job of the batch runs: finalize those that have succeeded,
 * if one of them is in a fan-out that others wait for and this one is not.
 */
extern void batch_before_job(int index);
extern bool batch_unfinalized(void);

/*
 * job/batch_entries.c: show a batch, before its claim is committed; it is, or it has
 * failed.  Its end: give back the places that it holds.  Places were given back.
 */
extern void batch_publish(const Batch *new_batch);
extern void batch_unpublish(bool failed);
extern void batch_release_limits(void);
extern void batch_places_released(bool waited);

/* job/batch_entries.c: this worker has no jobs: it counts for reserved workers no more */
extern void batch_leave_reserved(void);

/*
 * job/batch_entries.c: an entry of a slot, whose lock the caller holds, is not to be begun
 * by that worker, and does not count any more among those that wait for a token.  True:
 * see batch_places_released().
 */
extern bool batch_entry_uncount(WorkerSlot *slot, BatchEntry *entry);

/*
 * job/batch.c: how the next batch takes the place of this one.  Make it; in a
 * transaction finalize this one, take jobs, record what was taken; after the
 * commit put it into place.  If the transaction fails, forget it.
 */
extern Batch *batch_new_begin(void);
extern void batch_finalize_in_transaction(void);
extern void batch_new_record(Batch *new_batch);
extern void batch_new_commit(Batch *new_batch);
extern void batch_new_abort(void);

/*
 * Flush the claim.  Before a job that is to be known to have run after any crash
 * begins; and where a job that runs is about to do what no crash takes back.
 */
extern void batch_flush_claim(void);
extern void batch_effects_persist(void);

/* job/batch_entries.c: the entry of a job in this worker's slot */
extern bool batch_start_job(int index, TimestampTz now);
extern TokenOutcome batch_take_token(int index, const LimitScopes *scopes, Token *token);

/* "succeeded": else jobs after it in the order of its group do not begin */
extern void batch_end_job(bool succeeded);

/*
 * The job that this worker runs is about to commit that it waits: it can be cancelled
 * by its row only from now on.  Returns false if it is to be cancelled already.
 */
extern bool batch_leave_running_job(void);
extern void batch_leave_job(int index);

#endif							/* BATCH_H */
