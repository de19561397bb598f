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

/*
 * defer.job opened for writing.  It stays open to the end of the transaction,
 * or until a utility command is run that may want to change the table.
 */
typedef struct JobTable
{
	Relation	rel;
	TupleTableSlot *slot;		/* to build new rows in */
	BlockNumber nblocks;		/* for tid_cache_holds() */

	/* what is opened when it is needed */
	Relation	pkey;
	Relation	claim_index;
	Relation	order_index;
	EState	   *estate;			/* these: for new index entries */
	ResultRelInfo *info;
	Oid			key_index;
} JobTable;

/*
 * The table alone, which is enough to delete a row, and to write one where no index changes;
 * with one index, to look for rows; with all, to insert rows
 */
extern JobTable *job_table(void);
extern JobTable *job_table_with_claim_index(void);
extern JobTable *job_table_with_order_index(void);
extern JobTable *job_table_with_indexes(void);
extern void job_table_close(void);
extern void job_table_init(void);	/* in _PG_init */

/* Insert the index entries of table->slot; with "conflict" those of a key are speculative */
extern void job_table_index_row(JobTable *table, bool *conflict, bool only_summarizing);

/* Write table->slot over the row at tid; delete that; "wait" for others that have it */
extern TM_Result job_table_update_at(JobTable *table, ItemPointer tid, bool wait);
extern bool job_table_delete_at(ItemPointer tid, bool wait);

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

#endif							/* JOBS_H */
