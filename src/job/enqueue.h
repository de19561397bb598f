/*
 * enqueue.h
 *		Enqueuing jobs with the options of defer.enqueue(): job/enqueue.c.
 */
#ifndef ENQUEUE_H
#define ENQUEUE_H

#include "fmgr.h"
#include "utils/jsonb.h"

struct After;
struct Job;
struct JobTarget;

/*
 * Enqueue a job of the current role and return its id.  "first" is the number
 * of the argument run_at, the first of the options, or -1 if the caller has
 * none.  function_owner: of the function, InvalidOid for commands and
 * deliveries.
 */
extern int64 enqueue_job(FunctionCallInfo fcinfo, int first, char kind, const char *function,
						 Oid function_owner, Jsonb *args);

/* The same of a procedure of defer, without options; max_queued does not keep it out */
extern int64 enqueue_own_job(char kind, const char *function, Oid function_owner, Jsonb *args);

/*
 * The same of a function, procedure or task, by name; errors as of defer.enqueue().
 * Tell what that has come to, as text.
 */
extern int64 enqueue_by_name(const char *name, Jsonb *args, FunctionCallInfo fcinfo, int first);
extern Datum enqueue_last_outcome(bool *isnull);

/* SQL functions that job/enqueue_json.c calls with jsonb in place of json */
extern Datum defer_enqueue(PG_FUNCTION_ARGS);
extern Datum defer_enqueue_one(PG_FUNCTION_ARGS);
extern Datum defer_enqueue_many(PG_FUNCTION_ARGS);
extern Datum defer_command(PG_FUNCTION_ARGS);

/* job_target_resolve() of what is to be enqueued directly: error if it is scheduled */
extern void enqueue_resolve(const char *name, Jsonb **args, struct JobTarget *target);

/*
 * Check options of a call that has these only, as for a job of the current role with that
 * target and these arguments; none is made.
 */
extern void enqueue_check_options(const struct JobTarget *target, Jsonb *args,
								  FunctionCallInfo options);

/*
 * Enqueue a step of a workflow.  "sample": arguments that could be its own, by which its
 * group is found; "options" as of a call that has these only.  "after" may be of no job;
 * with "prepare" the scheduler is told of the job when they have ended.
 */
extern int64 enqueue_step(const struct JobTarget *target, Jsonb *args, Jsonb *sample,
						  FunctionCallInfo options, int64 workflow_id, struct After *after,
						  bool prepare);

/*
 * Enqueue the workflow itself, which waits: a job with that id, and that key or NULL.  Returns
 * false, and sets *id to that of another one that is unfinished, if it has the key.
 */
extern bool enqueue_workflow(int64 *id, const char *name, text *key);

/*
 * Make a job of the current role for a function or procedure, with the options
 * that its settings give it.  It is neither inserted nor has it an id or a parent.
 */
extern void enqueue_make_job(const char *name, Jsonb *args, struct Job *job);

extern void enqueue_init(void); /* in _PG_init */

#endif							/* ENQUEUE_H */
