/*
 * job.h
 *		A job: a row of defer.job.
 */
#ifndef DEFER_JOB_H
#define DEFER_JOB_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "base/limits_key.h"

/* No time: "no schedule", "no discard_at".  Never a time that users can give */
#define NO_TIME			DT_NOBEGIN

/* A job that may have crashed the server so often is claimed alone */
#define SUSPECT_ALONE	2

/* What a job waits for, besides a time and a worker (job.waits) */
#define WAITS_NOTHING	'\0'
#define WAITS_JOBS		'j'		/* other jobs have to end: defer.dependency */
#define WAITS_PREPARE	'p'		/* the same; then the scheduler prepares it:
								 * workflow/prepare.c */

/* The same in a step; run_at is when it stops to wait, or "infinity" */
#define WAITS_SLEEP		's'
#define WAITS_STEP_JOBS 'w'		/* defer.dependency, with ord below 0 */
#define WAITS_EVENT		'e'		/* the same: one of these is closed */

/* Check for a job that has not begun and waits for others */
static inline bool
waits_for_jobs(char waits)
{
	return waits == WAITS_JOBS || waits == WAITS_PREPARE;
}

/*
 * A row of defer.job.  Pointers are into the memory context that the reader
 * chose.  NULL pointer, 0 or NO_TIME where the column is NULL.
 */
typedef struct Job
{
	int64		id;
	Oid			owner;
	int64		limits_key;		/* see limits_key.h */
	LimitScopes scopes;			/* what it was made of; of a row with
								 * LIMITS_KEY_HASHED unknown: all 0 */
	int32		priority;		/* smaller runs first */
	TimestampTz run_at;
	TimestampTz enqueued_at;
	int64		claim;			/* 0: free */
	int32		attempt;		/* attempts that ended without success */
	int16		crashes;
	int16		suspect;		/* crashes of the server that it may have
								 * caused; see SUSPECT_ALONE */
	int16		conflicts;
	char		kind;			/* JOB_... */
	int64		parent_id;		/* 0: none */
	int64		rerun_of;		/* 0: none */
	int64		fan_out_id;		/* a batch with "deep" that it is counted in;
								 * 0: none */
	int64		schedule_id;	/* 0: none */
	TimestampTz scheduled_for;
	TimestampTz discard_at;
	text	   *function;		/* schema-qualified signature, or
								 * COMMAND_FUNCTION */
	Oid			function_owner; /* when it was enqueued; InvalidOid: no
								 * function */
	text	   *queue;
	Jsonb	   *args;			/* array, object or NULL; see portable_args.c */
	text	   *key;
	text	   *group_key;		/* NULL: in no group */
	Jsonb	   *metadata;
	Jsonb	   *options;		/* keys: see JobPolicy; times in microseconds */
	text	   *sqlstate;		/* of the last failed attempt */
	text	   *error;
	int64		behind;			/* held until this one has ended; 0: none */
	int64		followed_by;	/* the one that is held behind this one; 0:
								 * none */
	const pg_uuid_t *token;		/* by which an attempt of a task ends; NULL:
								 * none, and as a row is read */
	char		waits;			/* WAITS_... */
	TimestampTz not_before;		/* of a held or waiting one: run_at
								 * afterwards; else NO_TIME */
	int32		order_scope;	/* the jobs of its group run in order under
								 * this queue or, below 0, function; 0: they
								 * do not */
	TimestampTz first_started_at;	/* of a procedure with steps: begin of its
									 * first pass, if that has ended; 0 */
	int64		earlier_time;	/* how long the passes took that have ended,
								 * together (microseconds) */
	bool		capped;			/* of a new one: there is a max_queued, by the
								 * settings ... */
	uint32		caps_generation;	/* ... of then: see shmem/caps.h */
	bool		exceeds_caps;	/* of a new one: it is counted, and not
								 * refused */
} Job;

/*
 * How long a job ran in all of its passes (microseconds); -1: it never began.  started_at:
 * of the last one, NO_TIME if it has ended before that
 */
static inline int64
job_duration(const Job *job, TimestampTz started_at, TimestampTz finished_at)
{
	if (started_at == NO_TIME)
		return job->first_started_at != 0 ? job->earlier_time : -1;
	return job->earlier_time + (finished_at > started_at ? finished_at - started_at : 0);
}

/* The place of a job in the order of its group, before those of the same place by its id */
static inline int64
job_order(const Job *job)
{
	return job->rerun_of != 0 ? job->rerun_of : job->id;
}

#endif							/* DEFER_JOB_H */
