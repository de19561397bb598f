/*
 * ready_scan.h
 *		The claim index of defer.job, ready queue by ready queue.
 */
#ifndef DEFER_READY_SCAN_H
#define DEFER_READY_SCAN_H

#include "access/genam.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "access/tableam.h"

#include "base/job.h"
#include "shmem/ready_queue.h"

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

/* Check whether a row is of the ready queue */
extern bool ready_scan_is_row_of(TupleTableSlot *slot, const ReadyQueueChoice *queue);

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

#endif							/* DEFER_READY_SCAN_H */
