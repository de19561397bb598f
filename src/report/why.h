/*
 * why.h
 *		Reasons why a job waits, for defer.why() and the view defer.jobs.
 */
#ifndef WHY_H
#define WHY_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* A job that has not ended */
typedef struct WaitingJob
{
	int64		id;
	Oid			owner;
	char	   *function;
	char	   *queue;
	char	   *group_key;		/* NULL: none */
	bool		delivery;		/* the sender's, not a worker's */
	bool		task;			/* a worker's outside of the server */
	TimestampTz run_at;
	bool		claimed;
	int32		attempt;
	int16		suspect;
	int64		schedule_id;	/* 0: none */
	int64		behind;			/* the job with its key that it waits for; 0:
								 * none */
	char		waits;			/* WAITS_... of base/job.h */
	int32		order_scope;	/* as in struct Job */
	TransactionId writer;		/* xmin of its row */
	TransactionId locker;		/* xmax of its row */
	char	   *error;			/* of its last attempt, NULL: none */
	char	   *endpoint;		/* of a delivery; NULL: none */
	int32		endpoint_id;	/* 0: it has no limits */
	TimestampTz paused_until;	/* of the endpoint; NO_TIME: it is not paused */
} WaitingJob;

typedef struct Reason
{
	const char *reason;
	char	   *detail;
	TimestampTz until;			/* DT_NOEND: not known */
} Reason;

/* The reasons that were found; after the first one no more are wanted if "first" */
typedef struct Reasons
{
	List	   *list;
	bool		first;
} Reasons;

/* report/why_reasons.c: find the reasons why a job does not begin; none: it runs, or could */
extern void why_find(Reasons *found, const WaitingJob *job);

/*
 * report/why.c: list jobs that run, of these those that have a value in a column, are
 * of the group unless it is NULL, and that the caller may see: ": 17, 18"; empty if
 * there are none
 */
extern char *why_running_of(const char *column, const char *value, const char *group_key,
							Datum *ids, int n);

/* report/why.c: the jobs that a job comes after and still waits for, as a sentence */
extern char *why_comes_after(const WaitingJob *job);

/* report/why.c: what the step waits for that it has come to, as a sentence */
extern char *why_step(const WaitingJob *job);

/* report/why.c: what a job waits for that is not the first in the order of its group */
typedef struct OrderFacts
{
	int64		held_by;		/* a job that has failed, and holds the group;
								 * 0: none */
	Oid			held_owner;
	int64		first;			/* the first job before it; 0: none */
	Oid			first_owner;
	TimestampTz first_at;		/* its run_at */
} OrderFacts;

extern void why_order(const WaitingJob *job, OrderFacts *facts);

/* report/why.c: the run of its schedule that a held run waits for; 0: it has just ended */
extern int64 why_run_before(const WaitingJob *job);

#endif							/* WHY_H */
