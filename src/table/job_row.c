/*
 * job_row.c
 *		Rows of defer.job and defer.job_history to struct Job and back.
 */
#include "postgres.h"

#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/job.h"
#include "table/job_row.h"

const char *const job_columns[JOB_NATTS] = {
	[JOB_ID - 1] = "id",
	[JOB_OWNER - 1] = "owner",
	[JOB_LIMITS_KEY - 1] = "limits_key",
	[JOB_PRIORITY - 1] = "priority",
	[JOB_RUN_AT - 1] = "run_at",
	[JOB_ENQUEUED_AT - 1] = "enqueued_at",
	[JOB_CLAIM - 1] = "claim",
	[JOB_ATTEMPT - 1] = "attempt",
	[JOB_CRASHES - 1] = "crashes",
	[JOB_SUSPECT - 1] = "suspect",
	[JOB_CONFLICTS - 1] = "conflicts",
	[JOB_KIND - 1] = "kind",
	[JOB_PARENT_ID - 1] = "parent_id",
	[JOB_RERUN_OF - 1] = "rerun_of",
	[JOB_SCHEDULE_ID - 1] = "schedule_id",
	[JOB_SCHEDULED_FOR - 1] = "scheduled_for",
	[JOB_DISCARD_AT - 1] = "discard_at",
	[JOB_FUNCTION_NAME - 1] = "function",
	[JOB_FUNCTION_OWNER - 1] = "function_owner",
	[JOB_QUEUE - 1] = "queue",
	[JOB_ARGS - 1] = "args",
	[JOB_KEY - 1] = "key",
	[JOB_GROUP_KEY - 1] = "group_key",
	[JOB_METADATA - 1] = "metadata",
	[JOB_OPTIONS - 1] = "options",
	[JOB_SQLSTATE - 1] = "sqlstate",
	[JOB_ERROR - 1] = "error",
	[JOB_BEHIND - 1] = "behind",
	[JOB_FOLLOWED_BY - 1] = "followed_by",
	[JOB_WAITS - 1] = "waits",
	[JOB_NOT_BEFORE - 1] = "not_before",
	[JOB_FAN_OUT_ID - 1] = "fan_out_id",
	[JOB_ORDER_SCOPE - 1] = "order_scope",
	[JOB_FIRST_STARTED_AT - 1] = "first_started_at",
	[JOB_EARLIER_TIME - 1] = "earlier_time",
};

const char *const history_columns[HIST_NATTS] = {
	[HIST_ID - 1] = "id",
	[HIST_OWNER - 1] = "owner",
	[HIST_STATE - 1] = "state",
	[HIST_KIND - 1] = "kind",
	[HIST_PRIORITY - 1] = "priority",
	[HIST_ATTEMPT - 1] = "attempt",
	[HIST_RUN_AT - 1] = "run_at",
	[HIST_ENQUEUED_AT - 1] = "enqueued_at",
	[HIST_STARTED_AT - 1] = "started_at",
	[HIST_FINISHED_AT - 1] = "finished_at",
	[HIST_PARENT_ID - 1] = "parent_id",
	[HIST_RERUN_OF - 1] = "rerun_of",
	[HIST_SCHEDULE_ID - 1] = "schedule_id",
	[HIST_SCHEDULED_FOR - 1] = "scheduled_for",
	[HIST_DISCARD_AT - 1] = "discard_at",
	[HIST_FUNCTION - 1] = "function",
	[HIST_FUNCTION_OWNER - 1] = "function_owner",
	[HIST_QUEUE - 1] = "queue",
	[HIST_ARGS - 1] = "args",
	[HIST_KEY - 1] = "key",
	[HIST_GROUP_KEY - 1] = "group_key",
	[HIST_METADATA - 1] = "metadata",
	[HIST_OPTIONS - 1] = "options",
	[HIST_RESULT - 1] = "result",
	[HIST_SQLSTATE - 1] = "sqlstate",
	[HIST_ERROR - 1] = "error",
	[HIST_TOKEN - 1] = "token",
	[HIST_FAN_OUT_ID - 1] = "fan_out_id",
	[HIST_FIRST_STARTED_AT - 1] = "first_started_at",
	[HIST_EARLIER_TIME - 1] = "earlier_time",
};

static const JobRow job_live_row = {	/* of defer.job */
	.id = JOB_ID,
	.owner = JOB_OWNER,
	.kind = JOB_KIND,
	.priority = JOB_PRIORITY,
	.run_at = JOB_RUN_AT,
	.enqueued_at = JOB_ENQUEUED_AT,
	.parent_id = JOB_PARENT_ID,
	.rerun_of = JOB_RERUN_OF,
	.schedule_id = JOB_SCHEDULE_ID,
	.scheduled_for = JOB_SCHEDULED_FOR,
	.discard_at = JOB_DISCARD_AT,
	.function = JOB_FUNCTION_NAME,
	.function_owner = JOB_FUNCTION_OWNER,
	.queue = JOB_QUEUE,
	.args = JOB_ARGS,
	.key = JOB_KEY,
	.group_key = JOB_GROUP_KEY,
	.metadata = JOB_METADATA,
	.options = JOB_OPTIONS,
	.sqlstate = JOB_SQLSTATE,
	.error = JOB_ERROR,
	.fan_out_id = JOB_FAN_OUT_ID,
	.first_started_at = JOB_FIRST_STARTED_AT,
	.earlier_time = JOB_EARLIER_TIME,
};

const JobRow job_history_row = {
	.id = HIST_ID,
	.owner = HIST_OWNER,
	.kind = HIST_KIND,
	.priority = HIST_PRIORITY,
	.run_at = HIST_RUN_AT,
	.enqueued_at = HIST_ENQUEUED_AT,
	.parent_id = HIST_PARENT_ID,
	.rerun_of = HIST_RERUN_OF,
	.schedule_id = HIST_SCHEDULE_ID,
	.scheduled_for = HIST_SCHEDULED_FOR,
	.discard_at = HIST_DISCARD_AT,
	.function = HIST_FUNCTION,
	.function_owner = HIST_FUNCTION_OWNER,
	.queue = HIST_QUEUE,
	.args = HIST_ARGS,
	.key = HIST_KEY,
	.group_key = HIST_GROUP_KEY,
	.metadata = HIST_METADATA,
	.options = HIST_OPTIONS,
	.sqlstate = HIST_SQLSTATE,
	.error = HIST_ERROR,
	.fan_out_id = HIST_FAN_OUT_ID,
	.first_started_at = HIST_FIRST_STARTED_AT,
	.earlier_time = HIST_EARLIER_TIME,
};

/* ------------------------------------------------------------------------
 * What both tables have
 * ------------------------------------------------------------------------ */

static void *
varlena_copy(Datum value, bool isnull)
{
	return isnull ? NULL : PG_DETOAST_DATUM_COPY(value);
}

void
job_row_read(Job *job, const JobRow *row, const Datum *values, const bool *nulls)
{
	memset(job, 0, sizeof(Job));
#define VALUE(field, get, otherwise) \
	(nulls[row->field - 1] ? (otherwise) : get(values[row->field - 1]))
#define POINTER(field) varlena_copy(values[row->field - 1], nulls[row->field - 1])
	job->id = DatumGetInt64(values[row->id - 1]);
	job->owner = DatumGetObjectId(values[row->owner - 1]);
	job->kind = DatumGetChar(values[row->kind - 1]);
	job->priority = DatumGetInt32(values[row->priority - 1]);
	job->run_at = DatumGetTimestampTz(values[row->run_at - 1]);
	job->enqueued_at = DatumGetTimestampTz(values[row->enqueued_at - 1]);
	job->parent_id = VALUE(parent_id, DatumGetInt64, 0);
	job->rerun_of = VALUE(rerun_of, DatumGetInt64, 0);
	job->schedule_id = VALUE(schedule_id, DatumGetInt64, 0);
	job->scheduled_for = VALUE(scheduled_for, DatumGetTimestampTz, NO_TIME);
	job->discard_at = VALUE(discard_at, DatumGetTimestampTz, NO_TIME);
	job->function = POINTER(function);
	job->function_owner = VALUE(function_owner, DatumGetObjectId, InvalidOid);
	job->queue = POINTER(queue);
	job->args = POINTER(args);
	job->key = POINTER(key);
	job->group_key = POINTER(group_key);
	job->metadata = POINTER(metadata);
	job->options = POINTER(options);
	job->sqlstate = POINTER(sqlstate);
	job->error = POINTER(error);
	job->fan_out_id = VALUE(fan_out_id, DatumGetInt64, 0);
	job->first_started_at = VALUE(first_started_at, DatumGetTimestampTz, 0);
	job->earlier_time = VALUE(earlier_time, DatumGetInt64, 0);
#undef VALUE
#undef POINTER
}

void
job_row_write(const Job *job, const JobRow *row, Datum *values, bool *nulls)
{
#define SET(field, value) (nulls[row->field - 1] = false, values[row->field - 1] = (value))
#define SET_IF(field, condition, value) \
	do { \
		nulls[row->field - 1] = !(condition); \
		if (condition) \
			values[row->field - 1] = (value); \
	} while (0)
	SET(id, Int64GetDatum(job->id));
	SET(owner, ObjectIdGetDatum(job->owner));
	SET(kind, CharGetDatum(job->kind));
	SET(priority, Int32GetDatum(job->priority));
	SET(run_at, TimestampTzGetDatum(job->run_at));
	SET(enqueued_at, TimestampTzGetDatum(job->enqueued_at));
	SET_IF(parent_id, job->parent_id != 0, Int64GetDatum(job->parent_id));
	SET_IF(rerun_of, job->rerun_of != 0, Int64GetDatum(job->rerun_of));
	SET_IF(schedule_id, job->schedule_id != 0, Int64GetDatum(job->schedule_id));
	SET_IF(scheduled_for, job->scheduled_for != NO_TIME, TimestampTzGetDatum(job->scheduled_for));
	SET_IF(discard_at, job->discard_at != NO_TIME, TimestampTzGetDatum(job->discard_at));
	SET(function, PointerGetDatum(job->function));
	SET_IF(function_owner, job->function_owner != InvalidOid,
		   ObjectIdGetDatum(job->function_owner));
	SET(queue, PointerGetDatum(job->queue));
	SET_IF(args, job->args != NULL, PointerGetDatum(job->args));
	SET_IF(key, job->key != NULL, PointerGetDatum(job->key));
	SET_IF(group_key, job->group_key != NULL, PointerGetDatum(job->group_key));
	SET_IF(metadata, job->metadata != NULL, PointerGetDatum(job->metadata));
	SET_IF(options, job->options != NULL, PointerGetDatum(job->options));
	SET_IF(sqlstate, job->sqlstate != NULL, PointerGetDatum(job->sqlstate));
	SET_IF(error, job->error != NULL, PointerGetDatum(job->error));
	SET_IF(fan_out_id, job->fan_out_id != 0, Int64GetDatum(job->fan_out_id));
	SET_IF(first_started_at, job->first_started_at != 0,
		   TimestampTzGetDatum(job->first_started_at));
	SET_IF(earlier_time, job->first_started_at != 0, Int64GetDatum(job->earlier_time));
#undef SET
#undef SET_IF
}

/* ------------------------------------------------------------------------
 * defer.job
 * ------------------------------------------------------------------------ */

void
job_from_slot(Job *job, TupleTableSlot *slot)
{
	Datum	   *values = slot->tts_values;
	bool	   *nulls = slot->tts_isnull;

	slot_getallattrs(slot);
	job_row_read(job, &job_live_row, values, nulls);
	job->limits_key = DatumGetInt64(values[JOB_LIMITS_KEY - 1]);
	if (!LIMITS_KEY_IS_HASHED(job->limits_key))
		job->scopes = limit_scopes_of_key(job->limits_key);
	job->claim = nulls[JOB_CLAIM - 1] ? 0 : DatumGetInt64(values[JOB_CLAIM - 1]);
	job->attempt = DatumGetInt32(values[JOB_ATTEMPT - 1]);
	job->crashes = DatumGetInt16(values[JOB_CRASHES - 1]);
	job->suspect = DatumGetInt16(values[JOB_SUSPECT - 1]);
	job->conflicts = DatumGetInt16(values[JOB_CONFLICTS - 1]);
	job->behind = nulls[JOB_BEHIND - 1] ? 0 : DatumGetInt64(values[JOB_BEHIND - 1]);
	job->followed_by = nulls[JOB_FOLLOWED_BY - 1] ? 0 :
		DatumGetInt64(values[JOB_FOLLOWED_BY - 1]);
	job->waits = nulls[JOB_WAITS - 1] ? WAITS_NOTHING : DatumGetChar(values[JOB_WAITS - 1]);
	job->not_before = nulls[JOB_NOT_BEFORE - 1] ? NO_TIME :
		DatumGetTimestampTz(values[JOB_NOT_BEFORE - 1]);
	job->order_scope = nulls[JOB_ORDER_SCOPE - 1] ? 0 : DatumGetInt32(values[JOB_ORDER_SCOPE - 1]);
}

void
job_peek(Job *job, TupleTableSlot *slot)
{
	Datum	   *values = slot->tts_values;
	bool	   *nulls = slot->tts_isnull;

	slot_getsomeattrs(slot, JOB_QUEUE);
	memset(job, 0, sizeof(Job));
	job->id = DatumGetInt64(values[JOB_ID - 1]);
	job->limits_key = DatumGetInt64(values[JOB_LIMITS_KEY - 1]);
	job->claim = nulls[JOB_CLAIM - 1] ? 0 : DatumGetInt64(values[JOB_CLAIM - 1]);
	job->attempt = DatumGetInt32(values[JOB_ATTEMPT - 1]);
	job->suspect = DatumGetInt16(values[JOB_SUSPECT - 1]);
	job->discard_at = nulls[JOB_DISCARD_AT - 1] ? NO_TIME :
		DatumGetTimestampTz(values[JOB_DISCARD_AT - 1]);
	job->function = DatumGetTextPP(values[JOB_FUNCTION_NAME - 1]);
	job->queue = DatumGetTextPP(values[JOB_QUEUE - 1]);
}

void
job_to_slot(const Job *job, TupleTableSlot *slot)
{
	Datum	   *values = slot->tts_values;
	bool	   *nulls = slot->tts_isnull;

	ExecClearTuple(slot);
	memset(nulls, 0, slot->tts_tupleDescriptor->natts * sizeof(bool));
	for (int i = JOB_NATTS; i < slot->tts_tupleDescriptor->natts; i++)
		nulls[i] = true;		/* a later version's, or a user's own */
	job_row_write(job, &job_live_row, values, nulls);
	values[JOB_LIMITS_KEY - 1] = Int64GetDatum(job->limits_key);
	nulls[JOB_CLAIM - 1] = job->claim == 0;
	values[JOB_CLAIM - 1] = Int64GetDatum(job->claim);
	values[JOB_ATTEMPT - 1] = Int32GetDatum(job->attempt);
	values[JOB_CRASHES - 1] = Int16GetDatum(job->crashes);
	values[JOB_SUSPECT - 1] = Int16GetDatum(job->suspect);
	values[JOB_CONFLICTS - 1] = Int16GetDatum(job->conflicts);
	nulls[JOB_BEHIND - 1] = job->behind == 0;
	values[JOB_BEHIND - 1] = Int64GetDatum(job->behind);
	nulls[JOB_FOLLOWED_BY - 1] = job->followed_by == 0;
	values[JOB_FOLLOWED_BY - 1] = Int64GetDatum(job->followed_by);
	nulls[JOB_WAITS - 1] = job->waits == WAITS_NOTHING;
	values[JOB_WAITS - 1] = CharGetDatum(job->waits);
	nulls[JOB_NOT_BEFORE - 1] = job->waits == WAITS_NOTHING && job->behind == 0;
	values[JOB_NOT_BEFORE - 1] = TimestampTzGetDatum(job->not_before);
	nulls[JOB_ORDER_SCOPE - 1] = job->order_scope == 0;
	values[JOB_ORDER_SCOPE - 1] = Int32GetDatum(job->order_scope);
	ExecStoreVirtualTuple(slot);
}

void
job_not_found(int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("job " INT64_FORMAT " does not exist", id),
			 errhint("Finished jobs are removed after defer.retention. Jobs of other roles, and of transactions that have not committed, are not shown.")));
}
