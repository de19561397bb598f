/*
 * history_table.h
 *		Rows of defer.job_history, defer.attempt and defer.log.
 */
#ifndef DEFER_HISTORY_TABLE_H
#define DEFER_HISTORY_TABLE_H

#include "storage/itemptr.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "base/job.h"

/* A row of defer.job_history */
typedef struct HistoryRow
{
	Job			job;
	char		state;			/* STATE_... */
	int32		attempt;		/* attempts that were begun */
	TimestampTz started_at;		/* NO_TIME: never */
	TimestampTz finished_at;
	Jsonb	   *result;
	bool		has_token;		/* a worker outside of the server has ended it */
	pg_uuid_t	token;
	Oid			partition;		/* where it stands */
	ItemPointerData tid;
} HistoryRow;

/*
 * Insert a row, and nothing else: job/end.c is what ends a job.  Returns
 * finished_at, which is now.  An active snapshot is needed, as values may be
 * stored out of line; so it is for the next two.
 */
extern TimestampTz history_insert(const Job *job, char state, int32 attempt,
								  TimestampTz started_at, Jsonb *result, const char *sqlstate,
								  const char *error);

/* A btree index of a partition by which a job is found; InvalidOid: there is none */
extern Oid	history_id_index(Relation partition);

extern bool history_exists(int64 id);	/* as of now */
extern bool history_exists_in(int64 id, Snapshot snapshot);

/* Check whether a job has ended whose row is still there: one with a claim may have */
extern bool history_has_ended(const Job *job);
extern bool history_read(int64 id, HistoryRow *row);	/* as of now */

/*
 * Delete a row that was read in this transaction.  Waits for a session that has it
 * locked.  Returns false if it is gone, or was changed.
 */
extern bool history_delete(const HistoryRow *row);

extern void attempt_insert(const Job *job, int32 attempt, TimestampTz started_at,
						   const char *outcome, const ErrorData *error, TimestampTz retry_at);
extern void log_insert(int64 job_id, Oid owner, int32 attempt, TimestampTz at, const char *level,
					   const char *message);

#endif							/* DEFER_HISTORY_TABLE_H */
