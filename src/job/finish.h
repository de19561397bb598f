/*
 * finish.h
 *		How an attempt ended: the job is retried, or ends in job/end.c.
 */
#ifndef DEFER_FINISH_H
#define DEFER_FINISH_H

#include "job/batch.h"

/* In the job's transaction; returns the state it has after the commit */
extern BatchJobState finish_success(BatchJob *job, TimestampTz started_at, Jsonb *result);

/*
 * A step of the job is done, in the transaction that commits it: attempts that have
 * failed before count no more.  Returns whether the row was written; then the caller
 * sets the fields of "job" after the commit.
 */
extern bool finish_step(const Job *job);

/*
 * One of several passes of a procedure with steps has ended, of which not the last is meant:
 * note in the job when the first one began, and how long they took.  NO_TIME: none began.
 */
extern void finish_pass(Job *job, TimestampTz started_at, TimestampTz finished_at);

/*
 * A step of the job waits, in the transaction that commits that: the row is free, and
 * the job is called again at "until", DT_NOEND: when what it waits for lets it.
 */
extern void finish_wait(const Job *job, TimestampTz started_at, char waits, TimestampTz until);

/* Each in a transaction of its own */
typedef enum FailureKind
{
	FAILURE_ERROR,				/* the error that the job raised */
	FAILURE_TIMED_OUT,
	FAILURE_CANCELLED,			/* defer.cancel(force => true) */
	FAILURE_CRASHED,			/* its process was terminated */
	FAILURE_INTERRUPTED			/* the server was stopped, or asked us to
								 * leave */
} FailureKind;
extern void finish_failure(BatchJob *job, TimestampTz started_at, FailureKind kind,
						   const ErrorData *error);
extern ErrorData *finish_substitute_error(const ErrorData *error);

/*
 * The row, which the caller has locked, after an attempt that has been rolled back; in
 * the caller's transaction.  Not for FAILURE_CRASHED
 */
extern void finish_failed_row(Job *job, TimestampTz started_at, FailureKind kind,
							  const ErrorData *error);

/* How a delivery ended, or an attempt at a task, as its process sees it */
typedef enum DeliveryOutcome
{
	DELIVERY_DONE,
	DELIVERY_RETRY,				/* failed, may work later */
	DELIVERY_REFUSED,			/* failed for good */
	DELIVERY_CANCELLED,			/* defer.cancel(force => true) */
	DELIVERY_INTERRUPTED,		/* we had to leave: tried again at once, no
								 * attempt */
	DELIVERY_PUT_OFF,			/* not begun, to be tried later, no attempt */
	DELIVERY_RELEASED,			/* the worker of a task wants no attempt to be
								 * counted */
	DELIVERY_LOST				/* that worker was not heard of in time */
} DeliveryOutcome;

typedef struct DeliveryEnd
{
	DeliveryOutcome outcome;
	bool		timed_out;		/* DELIVERY_RETRY because of that */
	int64		wait;			/* microseconds to the next attempt; -1: as
								 * the policy says */
	int64		pause;			/* so long nothing is to be sent to the
								 * endpoint (microseconds) */
	Jsonb	   *result;			/* NULL: none */
	int			sqlerrcode;		/* these: unless DELIVERY_DONE */
	char	   *message;
	char	   *detail;			/* NULL: none */
} DeliveryEnd;

/*
 * In the caller's transaction.  False: another session holds the row, try
 * again later
 */
extern bool finish_delivery(const Job *taken, TimestampTz started_at, const DeliveryEnd *end);

/* The same of a job whose row the caller has locked, with the claim that is to be ended */
extern void finish_remote(Job *job, TimestampTz started_at, const DeliveryEnd *end);

/* The parts that recovery shares; in the caller's transaction */
extern void finish_crashed_delivery(Job *job, TimestampTz started_at);
extern void finish_interrupted_row(Job *job, TimestampTz started_at);
extern void finish_crashed_row(Job *job, TimestampTz started_at, bool named, bool counts);

#endif							/* DEFER_FINISH_H */
