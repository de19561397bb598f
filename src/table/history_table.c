/*
 * history_table.c
 *		Rows of defer.job_history, defer.attempt and defer.log: what has been.
 *
 * The three are partitioned by UTC day.  Rows go straight into the day's
 * partition, which the scheduler makes ahead of time; where there is none they
 * go to the default partition.  By direct access, as in table/job_table.c.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/callbacks.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/table_check.h"
#include "base/text.h"
#include "table/day_partition.h"
#include "table/direct_insert.h"
#include "table/history_table.h"
#include "table/job_row.h"

enum
{
	ATT_JOB_ID = 1, ATT_OWNER, ATT_ATTEMPT, ATT_STARTED_AT, ATT_FINISHED_AT,
	ATT_OUTCOME, ATT_SQLSTATE, ATT_MESSAGE, ATT_DETAIL, ATT_HINT, ATT_CONTEXT,
	ATT_RETRY_AT, ATT_TOKEN,
	ATT_NATTS = ATT_TOKEN
};

enum
{
	LOG_JOB_ID = 1, LOG_OWNER, LOG_ATTEMPT, LOG_AT, LOG_LEVEL, LOG_MESSAGE,
	LOG_NATTS = LOG_MESSAGE
};

/* ------------------------------------------------------------------------
 * Insert
 * ------------------------------------------------------------------------ */

static const char *const attempt_columns[] = {
	[ATT_JOB_ID - 1] = "job_id",
	[ATT_OWNER - 1] = "owner",
	[ATT_ATTEMPT - 1] = "attempt",
	[ATT_STARTED_AT - 1] = "started_at",
	[ATT_FINISHED_AT - 1] = "finished_at",
	[ATT_OUTCOME - 1] = "outcome",
	[ATT_SQLSTATE - 1] = "sqlstate",
	[ATT_MESSAGE - 1] = "message",
	[ATT_DETAIL - 1] = "detail",
	[ATT_HINT - 1] = "hint",
	[ATT_CONTEXT - 1] = "context",
	[ATT_RETRY_AT - 1] = "retry_at",
	[ATT_TOKEN - 1] = "token",
};

static const char *const log_columns[] = {
	[LOG_JOB_ID - 1] = "job_id",
	[LOG_OWNER - 1] = "owner",
	[LOG_ATTEMPT - 1] = "attempt",
	[LOG_AT - 1] = "at",
	[LOG_LEVEL - 1] = "level",
	[LOG_MESSAGE - 1] = "message",
};

/*
 * Insert a row into the partition of its day, and leave that locked.
 */
static void
insert_by_day(CatalogObject which, TimestampTz at, const char *const *columns, int natts,
			  Datum *values, bool *nulls)
{
	Relation	rel = day_partition_open(which, at);

	direct_insert_rel(rel, columns, natts, values, nulls);
	table_close(rel, NoLock);
}

static inline Datum
text_datum(const char *string)
{
	return CStringGetTextDatum(string);
}

static inline Datum
message_datum(const char *message)
{
	return CStringGetTextDatum(text_valid(message));
}

TimestampTz
history_insert(const Job *job, char state, int32 attempt, TimestampTz started_at,
			   Jsonb *result, const char *sqlstate, const char *error)
{
	Datum		values[HIST_NATTS];
	bool		nulls[HIST_NATTS] = {0};
	TimestampTz now = GetCurrentTimestamp();

#define SET(att, value) (values[(att) - 1] = (value))
#define SET_IF(att, condition, value) \
	do { nulls[(att) - 1] = !(condition); if (condition) values[(att) - 1] = (value); } while (0)
	job_row_write(job, &job_history_row, values, nulls);
	SET(HIST_STATE, CharGetDatum(state));
	SET(HIST_ATTEMPT, Int32GetDatum(attempt));
	SET_IF(HIST_STARTED_AT, started_at != NO_TIME, TimestampTzGetDatum(started_at));
	SET(HIST_FINISHED_AT, TimestampTzGetDatum(now));
	SET_IF(HIST_RESULT, result != NULL, PointerGetDatum(result));
	SET_IF(HIST_SQLSTATE, sqlstate != NULL, text_datum(sqlstate));
	SET_IF(HIST_ERROR, error != NULL, message_datum(error));
	SET_IF(HIST_TOKEN, job->token != NULL, UUIDPGetDatum(job->token));
	insert_by_day(CAT_HISTORY_DEFAULT, now, history_columns, HIST_NATTS, values, nulls);
	return now;
}

void
attempt_insert(const Job *job, int32 attempt, TimestampTz started_at, const char *outcome,
			   const ErrorData *error, TimestampTz retry_at)
{
	Datum		values[ATT_NATTS];
	bool		nulls[ATT_NATTS] = {0};
	TimestampTz now = GetCurrentTimestamp();

	SET(ATT_JOB_ID, Int64GetDatum(job->id));
	SET(ATT_OWNER, ObjectIdGetDatum(job->owner));
	SET(ATT_ATTEMPT, Int32GetDatum(attempt));
	SET_IF(ATT_STARTED_AT, started_at != NO_TIME, TimestampTzGetDatum(started_at));
	SET(ATT_FINISHED_AT, TimestampTzGetDatum(now));
	SET(ATT_OUTCOME, text_datum(outcome));
	SET_IF(ATT_SQLSTATE, error != NULL, text_datum(unpack_sql_state(error->sqlerrcode)));
	SET_IF(ATT_MESSAGE, error != NULL && error->message != NULL, message_datum(error->message));
	SET_IF(ATT_DETAIL, error != NULL && error->detail != NULL, message_datum(error->detail));
	SET_IF(ATT_HINT, error != NULL && error->hint != NULL, message_datum(error->hint));
	SET_IF(ATT_CONTEXT, error != NULL && error->context != NULL, message_datum(error->context));
	SET_IF(ATT_RETRY_AT, retry_at != NO_TIME, TimestampTzGetDatum(retry_at));
	SET_IF(ATT_TOKEN, job->token != NULL, UUIDPGetDatum(job->token));
	insert_by_day(CAT_ATTEMPT_DEFAULT, now, attempt_columns, ATT_NATTS, values, nulls);
}

void
log_insert(int64 job_id, Oid owner, int32 attempt, TimestampTz at, const char *level,
		   const char *message)
{
	Datum		values[LOG_NATTS];
	bool		nulls[LOG_NATTS] = {0};

	SET(LOG_JOB_ID, Int64GetDatum(job_id));
	SET(LOG_OWNER, ObjectIdGetDatum(owner));
	SET(LOG_ATTEMPT, Int32GetDatum(attempt));
	SET(LOG_AT, TimestampTzGetDatum(at));
	SET(LOG_LEVEL, text_datum(level));
	SET(LOG_MESSAGE, message_datum(message));
	insert_by_day(CAT_LOG_DEFAULT, at, log_columns, LOG_NATTS, values, nulls);
#undef SET
#undef SET_IF
}

/* ------------------------------------------------------------------------
 * Look up
 * ------------------------------------------------------------------------ */

Oid
history_id_index(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *cell;
	Oid			found = InvalidOid;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indisvalid &&
			index->rd_index->indkey.values[0] == HIST_ID &&
			RelationGetIndexPredicate(index) == NIL)
			found = RelationGetRelid(index);
		index_close(index, NoLock);
		if (OidIsValid(found))
			break;
	}
	list_free(indexes);
	return found;
}

/* Look for a job in one partition */
static bool
search_partition(Relation rel, int64 id, Snapshot snapshot, TupleTableSlot *slot)
{
	Oid			index_oid = history_id_index(rel);
	ScanKeyData key;
	bool		found = false;

	ScanKeyInit(&key, HIST_ID, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	if (OidIsValid(index_oid))
	{
		Relation	index = index_open(index_oid, AccessShareLock);
		IndexScanDesc scan = compat_index_beginscan(rel, index, snapshot, 1);

		key.sk_attno = 1;
		index_rescan(scan, &key, 1, NULL, 0);
		found = index_getnext_slot(scan, ForwardScanDirection, slot);
		if (found)
			ExecMaterializeSlot(slot);
		index_endscan(scan);
		index_close(index, NoLock);
	}
	else
	{
		TableScanDesc scan = compat_table_beginscan(rel, snapshot, 1, &key);

		found = table_scan_getnextslot(scan, ForwardScanDirection, slot);
		if (found)
			ExecMaterializeSlot(slot);
		table_endscan(scan);
	}
	return found;
}

static void
history_from_slot(TupleTableSlot *slot, HistoryRow *row)
{
	Job		   *job = &row->job;
	Datum	   *values = slot->tts_values;
	bool	   *nulls = slot->tts_isnull;

	slot_getallattrs(slot);
#define VALUE(att, get, otherwise) (nulls[(att) - 1] ? (otherwise) : get(values[(att) - 1]))
#define POINTER(att) (nulls[(att) - 1] ? NULL : (void *) PG_DETOAST_DATUM_COPY(values[(att) - 1]))
	job_row_read(job, &job_history_row, values, nulls);
	row->state = DatumGetChar(values[HIST_STATE - 1]);
	row->attempt = DatumGetInt32(values[HIST_ATTEMPT - 1]);
	row->started_at = VALUE(HIST_STARTED_AT, DatumGetTimestampTz, NO_TIME);
	row->finished_at = DatumGetTimestampTz(values[HIST_FINISHED_AT - 1]);
	row->result = POINTER(HIST_RESULT);
	row->has_token = !nulls[HIST_TOKEN - 1];
	if (row->has_token)
		memcpy(&row->token, DatumGetUUIDP(values[HIST_TOKEN - 1]), sizeof(pg_uuid_t));
#undef VALUE
#undef POINTER
}

/*
 * The partitions, locked.  While we waited for a lock one may have been made,
 * and rows moved into it from the one that we waited for.
 */
static List *
lock_partitions(void)
{
	Oid			parent = catalog_oid(CAT_HISTORY);
	List	   *locked = find_inheritance_children(parent, AccessShareLock);

	for (;;)
	{
		List	   *now;

		AcceptInvalidationMessages();
		now = find_inheritance_children(parent, AccessShareLock);
		if (equal(now, locked))
			return now;
		locked = now;
	}
}

/* Look in these partitions; row may be NULL */
static bool
search_partitions(List *partitions, int64 id, Snapshot snapshot, HistoryRow *row)
{
	bool		found = false;

	/* the newest partitions come last by OID, and are the likely ones */
	for (int i = list_length(partitions) - 1; i >= 0 && !found; i--)
	{
		Relation	rel = table_open(list_nth_oid(partitions, i), NoLock);

		if (rel->rd_rel->relkind == RELKIND_RELATION)
		{
			TupleTableSlot *slot = table_slot_create(rel, NULL);

			table_check(rel, history_columns, HIST_NATTS);
			found = search_partition(rel, id, snapshot, slot);
			if (found && row != NULL)
			{
				history_from_slot(slot, row);
				row->partition = RelationGetRelid(rel);
				row->tid = slot->tts_tid;
			}
			ExecDropSingleTupleTableSlot(slot);
		}
		table_close(rel, NoLock);
	}
	list_free(partitions);
	return found;
}

/* Look in all partitions, as of now; row may be NULL */
static bool
search_history(int64 id, HistoryRow *row)
{
	List	   *partitions = lock_partitions();
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	bool		found = search_partitions(partitions, id, snapshot, row);

	UnregisterSnapshot(snapshot);
	return found;
}

bool
history_exists_in(int64 id, Snapshot snapshot)
{
	return search_partitions(lock_partitions(), id, snapshot, NULL);
}

bool
history_exists(int64 id)
{
	CommandCounterIncrement();
	return search_history(id, NULL);
}

bool
history_has_ended(const Job *job)
{
	return job->claim != 0 && history_exists(job->id);
}

bool
history_read(int64 id, HistoryRow *row)
{
	CommandCounterIncrement();
	return search_history(id, row);
}

bool
history_delete(const HistoryRow *row)
{
	Relation	rel = table_open(row->partition, RowExclusiveLock);
	ItemPointerData tid = row->tid;
	TM_FailureData failure;
	TM_Result	result = compat_table_delete(rel, &tid, GetCurrentCommandId(true), true, &failure);

	table_close(rel, NoLock);
	return result == TM_Ok;
}
