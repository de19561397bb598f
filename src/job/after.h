/*
 * after.h
 *		Enqueuing a job that comes after others: job/after.c.
 */
#ifndef JOB_AFTER_H
#define JOB_AFTER_H

#include "fmgr.h"
#include "utils/jsonb.h"

#include "base/own_sql.h"


struct Job;
struct KeyRule;

/* The options "after" and "after_failure", and what they come to */
typedef struct After
{
	int			n;
	int64	   *ids;			/* each once, in the order given */
	Oid			owner;			/* of the later job */
	char		after_failure;	/* AFTER_FAILURE_... */
	const char *each;			/* the same for each of them; NULL: it is one
								 * for all */
	const char *on_states;		/* of the first: as in struct Dependency;
								 * NULL: after_failure holds for it, too */
	struct Dependency *rows;
} After;

/*
 * Read the options; "first" as in job/enqueue_options.h.  Returns false if the job
 * comes after no other.
 */
extern bool after_read(FunctionCallInfo fcinfo, int first, After *after);

/*
 * Before the job is inserted: look at the others, and let it wait if one of them has
 * not ended.  Returns false if one has ended and cancels it: then it has got an id,
 * and has ended.  Error if there is no such job that the current role may manage.
 */
extern bool after_prepare(After *after, struct Job *job, const struct KeyRule *rule);

/*
 * After that: write what it comes after, unless nothing was inserted because another
 * job has its key.
 */
extern void after_write(After *after, int64 id, bool inserted);

/* Let a rerun have what the job had that it is a rerun of, for defer.inputs() */
extern void after_copy(int64 from, int64 to, Oid owner);

/* How a job stands, as of now; by its negative id, the batch of a job */
typedef struct JobLook
{
	bool		found;			/* it is there, or in the history */
	Oid			owner;			/* these: if it is */
	char		state;			/* STATE_...; '\0': it has not ended */
	int64		rerun_of;		/* of one that has ended */
} JobLook;
extern void job_look(int64 id, JobLook *look);

/*
 * job/inputs.c: find the result of an earlier job of this one that was copied before the
 * history of that one went; false: none was.
 */
extern bool inputs_kept_result(int64 id, Jsonb **result);

/*
 * Error if a job that is to be run again is a step of a workflow that has never been
 * prepared: its arguments may have references, which only the scheduler fills in.
 */
extern void inputs_check_prepared(const struct Job *job);

/* "job 17, which it came after, failed" */
extern char *after_reason(int64 id, char state);

#endif							/* JOB_AFTER_H */
