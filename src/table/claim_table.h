/*
 * claim_table.h
 *		Rows of defer.claim, one for each batch of jobs that a process has taken:
 *		table/claim_table.c.
 *
 * All of these run in the caller's transaction.
 */
#ifndef CLAIM_TABLE_H
#define CLAIM_TABLE_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/uuid.h"

#include "table/tid_cache.h"

typedef struct ClaimRow
{
	int64		id;
	TimestampTz claimed_at;
	int			njobs;
	int64	   *jobs;			/* ids; see CLAIM_SETTLED_JOBS */

	/* of a worker outside of the server */
	pg_uuid_t  *token;			/* NULL: a process of ours has claimed them */
	Oid			role;
	int64		length;			/* of the leases; microseconds */
	char	   *worker;			/* NULL: it has told no name */
} ClaimRow;

/*
 * Stands in ClaimRow.jobs for jobs that were in the claim and have been
 * finalized by recovery: the jobs that are left were not alone.
 */
#define CLAIM_SETTLED_JOBS	0

/* Insert a row; *place (may be NULL) is where it is then */
extern void claim_row_insert(const ClaimRow *row, CachedTid *place);

/* Delete a row that this process has inserted, where it has left it */
extern void claim_row_delete(int64 claim_id, CachedTid *place);

/* Delete a row by its id; false: it is not there, or locked and not to be waited for */
extern bool claim_row_delete_id(int64 claim_id, bool wait);

/* Read a committed row by its id; false: there is none */
extern bool claim_row_read(int64 claim_id, ClaimRow *row);

/* Read all committed rows, as a list of ClaimRow in the current memory context */
extern List *claim_rows_read(void);

#endif							/* CLAIM_TABLE_H */
