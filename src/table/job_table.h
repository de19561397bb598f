/*
 * job_table.h
 *		Rows of defer.job, by direct access to the table.
 */
#ifndef JOBS_H
#define JOBS_H

#include "access/attnum.h"
#include "access/genam.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "access/tableam.h"
#include "nodes/execnodes.h"
#include "utils/relcache.h"

#include "base/catalog.h"
#include "base/job.h"
#include "table/job_row.h"
#include "table/tid_cache.h"
#include "shmem/ready_queue.h"

/*
 * defer.job opened for writing.  It stays open to the end of the transaction,
 * or until a utility command is run that may want to change the table.
 */
typedef struct JobTable
{
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *info;
	TupleTableSlot *slot;		/* to build new rows in */
	BlockNumber nblocks;		/* for tid_cache_holds() */
	Relation	pkey;			/* of info's indexes */
	Relation	claim_index;
	Oid			key_index;
} JobTable;

extern JobTable *job_table(void);
extern void job_table_close(void);
extern void job_table_init(void);	/* in _PG_init */

/* Insert the index entries of table->slot; with "conflict" those of a key are speculative */
extern void job_table_index_row(JobTable *table, bool *conflict, bool only_summarizing);

/*
 * One write to the row at tid; false: another session is at it or was (never
 * waits)
 */
extern bool job_set_claim_at(ItemPointer tid, TupleTableSlot *old, int64 claim,
							 CachedTid *new_place);
extern bool job_delete_at(ItemPointer tid); /* found in this transaction */

/* Left there by an earlier transaction; *followed_by is set if it was changed since */
extern bool job_delete_left(CachedTid *place, int64 id, int64 *followed_by);

/* Find the newest committed version of a row */
extern bool job_tid(int64 id, ItemPointer tid, TupleTableSlot *slot);

/* table/ready_scan.c: the claim index of defer.job, ready queue by ready queue */
typedef struct ReadyScan
{
	IndexScanDesc scan;
	ScanKeyData keys[4];
	ScanKeyData from[2];		/* (run_at, id) >= (...) */
	Snapshot	snapshot;
	TupleTableSlot *slot;
} ReadyScan;

/* Open a scan of a ready queue, from its minimum key on */
extern void ready_scan_open(ReadyScan *scan, const ReadyQueueChoice *rq);
extern void ready_scan_close(ReadyScan *scan);

/* Where a scan of many ready queues has come to */
typedef struct ReadyCursor
{
	bool		started;		/* the queue that it names was read */
	Oid			owner;
	int64		limits_key;
	int32		priority;
} ReadyCursor;

/* Begin before the first queue of that role; InvalidOid: of all */
extern void ready_cursor_begin(ReadyCursor *cursor, Oid owner);

/* Sets the scopes of a job whose limits_key does not tell them: settings_set_scopes() of config/ */
typedef void (*ReadySetScopes) (Job *job);

/*
 * Tell shared memory of up to max ready queues behind the cursor, of its role
 * or of all, and move it; of all, at most max_of_role of each role: the rest
 * of one is for a search of its own.  Returns true at the end.
 */
extern bool ready_scan_queues(ReadyCursor *cursor, bool one_role, int max, int max_of_role,
							  ReadySetScopes set_scopes, TimestampTz now);

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
 * Change and delete a row that job_lock() has locked.  job_update writes all
 * the columns from the struct, job_update_claim is the HOT one.  Neither
 * calls xact_notify_job(): the caller does when the row is free to be taken.
 */
extern void job_update(const Job *job);
extern void job_delete(int64 id);

#endif							/* JOBS_H */
