/*
 * job.h
 *		A job: its kinds, its states, a row of defer.job.
 */
#ifndef DEFER_JOB_H
#define DEFER_JOB_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* What kind of work a job is (job.kind) */
#define JOB_FUNCTION	'f'
#define JOB_PROCEDURE	'p'
#define JOB_COMMAND		'c'
#define JOB_HTTP		'h'
#define JOB_EMAIL		'e'
#define JOB_SLACK		's'

/* How a job ended (job_history.state) */
#define STATE_SUCCEEDED 's'
#define STATE_FAILED	'f'
#define STATE_CANCELLED 'c'
#define STATE_DISCARDED 'd'

/* The function name that command jobs carry; their statement is args->>'sql' */
#define COMMAND_FUNCTION "defer.command"

/* Deliveries are jobs that the sender sends; they carry these as function */
#define HTTP_FUNCTION	"defer.http"
#define EMAIL_FUNCTION	"defer.email"
#define SLACK_FUNCTION	"defer.slack"

static inline bool
kind_is_delivery(char kind)
{
	return kind == JOB_HTTP || kind == JOB_EMAIL || kind == JOB_SLACK;
}

static inline bool
name_is_delivery(const char *function)
{
	return strcmp(function, HTTP_FUNCTION) == 0 || strcmp(function, EMAIL_FUNCTION) == 0 ||
		strcmp(function, SLACK_FUNCTION) == 0;
}

/* Is it one of our functions, which jobs carry without its parameters? */
static inline bool
name_is_ours(const char *function)
{
	return strcmp(function, COMMAND_FUNCTION) == 0 || name_is_delivery(function);
}

#define DEFAULT_QUEUE	"default"

/* No time: "no schedule", "no discard_at".  Never a time that users can give */
#define NO_TIME			DT_NOBEGIN

/*
 * A row of defer.job.  Pointers are into the memory context that the reader
 * chose.  NULL pointer, 0 or NO_TIME where the column is NULL.
 */
typedef struct Job
{
	int64		id;
	Oid			owner;
	int64		limits_key;			/* see LIMITS_KEY() */
	int32		priority;		/* smaller runs first */
	TimestampTz run_at;
	TimestampTz enqueued_at;
	int64		claim;			/* 0: free */
	int32		attempt;		/* attempts that ended without success */
	int16		crashes;
	int16		suspect;
	int16		conflicts;
	char		kind;			/* JOB_... */
	int64		parent_id;		/* 0: none */
	int64		schedule_id;	/* 0: none */
	TimestampTz scheduled_for;
	TimestampTz discard_at;
	text	   *function;		/* schema-qualified signature, or COMMAND_FUNCTION */
	text	   *queue;
	Jsonb	   *args;			/* as given: array, object or NULL */
	text	   *key;
	Jsonb	   *metadata;
	Jsonb	   *options;		/* keys: see JobPolicy; times in microseconds */
	text	   *sqlstate;		/* of the last failed attempt */
	text	   *error;
} Job;

/*
 * A ready queue is the set of jobs under the same concurrency limits: number of the
 * limited (or paused) function and of the limited (or paused) queue, 0 where
 * there is none.  Ready queue 0 is everybody without a limit.  Deliveries, which are
 * the sender's and not the workers', have the same ready queues once more, below 0, and
 * e-mails, of which only few are sent at a time, yet again.
 */
#define LIMITS_KEY_DELIVERY PG_INT64_MIN
#define LIMITS_KEY_MAIL	(INT64CONST(1) << 62)
#define LIMITS_KEY(function_id, queue_id) \
	(((int64) (function_id) << 32) | (int64) (uint32) (queue_id))
#define LIMITS_KEY_FUNCTION(limits_key) ((int32) (((limits_key) >> 32) & 0x3fffffff))
#define LIMITS_KEY_QUEUE(limits_key)	((int32) ((limits_key) & 0xffffffff))
#define LIMITS_KEY_IS_DELIVERY(limits_key) ((limits_key) < 0)
#define LIMITS_KEY_IS_MAIL(limits_key)	(((limits_key) & LIMITS_KEY_MAIL) != 0)
#define LIMITS_KEY_HAS_LIMITS(limits_key) (((limits_key) & (LIMITS_KEY_MAIL - 1)) != 0)

#endif							/* DEFER_JOB_H */
