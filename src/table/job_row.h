/*
 * job_row.h
 *		Rows of defer.job and defer.job_history, and struct Job: table/job_row.c.
 */
#ifndef JOB_ROW_H
#define JOB_ROW_H

#include "access/attnum.h"
#include "executor/tuptable.h"

#include "base/job.h"

/* Columns of defer.job */
enum
{
	JOB_ID = 1, JOB_OWNER, JOB_LIMITS_KEY, JOB_PRIORITY, JOB_RUN_AT, JOB_ENQUEUED_AT,
	JOB_CLAIM, JOB_ATTEMPT, JOB_CRASHES, JOB_SUSPECT, JOB_CONFLICTS, JOB_KIND,
	JOB_PARENT_ID, JOB_FOLLOWED_BY, JOB_SCHEDULE_ID, JOB_SCHEDULED_FOR, JOB_DISCARD_AT,
	JOB_FUNCTION_NAME, JOB_QUEUE, JOB_ARGS, JOB_KEY, JOB_METADATA, JOB_OPTIONS,
	JOB_SQLSTATE, JOB_ERROR, JOB_FUNCTION_OWNER, JOB_RERUN_OF, JOB_GROUP_KEY,
	JOB_BEHIND, JOB_WAITS, JOB_NOT_BEFORE, JOB_FAN_OUT_ID, JOB_ORDER_SCOPE,
	JOB_FIRST_STARTED_AT, JOB_EARLIER_TIME,
	JOB_NATTS = JOB_EARLIER_TIME
};

/* Columns of defer.job_history */
enum
{
	HIST_ID = 1, HIST_OWNER, HIST_STATE, HIST_KIND, HIST_PRIORITY, HIST_ATTEMPT,
	HIST_RUN_AT, HIST_ENQUEUED_AT, HIST_STARTED_AT, HIST_FINISHED_AT,
	HIST_PARENT_ID, HIST_SCHEDULE_ID, HIST_SCHEDULED_FOR, HIST_DISCARD_AT,
	HIST_FUNCTION, HIST_QUEUE, HIST_ARGS, HIST_KEY, HIST_METADATA, HIST_OPTIONS,
	HIST_RESULT, HIST_SQLSTATE, HIST_ERROR, HIST_FUNCTION_OWNER, HIST_RERUN_OF,
	HIST_GROUP_KEY, HIST_TOKEN, HIST_FAN_OUT_ID, HIST_FIRST_STARTED_AT, HIST_EARLIER_TIME,
	HIST_NATTS = HIST_EARLIER_TIME
};

/* The names of these columns, as base/table_check.h wants them */
extern const char *const job_columns[JOB_NATTS];

/*
 * The first columns of a row as they are in the table: all of a fixed length, and only the
 * claim may be NULL
 */
typedef struct JobRowHead
{
	int64		id;
	Oid			owner;
	int64		limits_key;
	int32		priority;
	TimestampTz run_at;
	TimestampTz enqueued_at;
	int64		claim;
} JobRowHead;
extern const char *const history_columns[HIST_NATTS];

/* The columns that both tables have */
typedef struct JobRow
{
	AttrNumber	id;
	AttrNumber	owner;
	AttrNumber	kind;
	AttrNumber	priority;
	AttrNumber	run_at;
	AttrNumber	enqueued_at;
	AttrNumber	parent_id;
	AttrNumber	rerun_of;
	AttrNumber	schedule_id;
	AttrNumber	scheduled_for;
	AttrNumber	discard_at;
	AttrNumber	function;
	AttrNumber	function_owner;
	AttrNumber	queue;
	AttrNumber	args;
	AttrNumber	key;
	AttrNumber	group_key;
	AttrNumber	metadata;
	AttrNumber	options;
	AttrNumber	sqlstate;
	AttrNumber	error;
	AttrNumber	fan_out_id;
	AttrNumber	first_started_at;
	AttrNumber	earlier_time;
} JobRow;

extern const JobRow job_history_row;

/*
 * Read the columns that both tables have, copied into the current memory
 * context; the other fields are cleared.  Write them: pointers are the job's.
 */
extern void job_row_read(Job *job, const JobRow *row, const Datum *values, const bool *nulls);
extern void job_row_write(const Job *job, const JobRow *row, Datum *values, bool *nulls);

/*
 * Read a row of defer.job: all of it, copied into the current memory context;
 * or what a claim has to know, where function and queue may be in the slot's
 * buffer and all other pointers are NULL.
 */
extern void job_from_slot(Job *job, TupleTableSlot *slot);
extern void job_peek(Job *job, TupleTableSlot *slot);

/* Store a job in a slot of defer.job; pointers are the job's */
extern void job_to_slot(const Job *job, TupleTableSlot *slot);

/* Raise the error for an id that no job has which the role may see */
extern void job_not_found(int64 id);

#endif							/* JOB_ROW_H */
