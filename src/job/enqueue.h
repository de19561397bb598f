/*
 * enqueue.h
 *		Enqueuing jobs with the options of defer.enqueue(): job/enqueue.c.
 */
#ifndef ENQUEUE_H
#define ENQUEUE_H

#include "fmgr.h"
#include "utils/jsonb.h"

struct Job;

/*
 * Enqueue a job of the current role and return its id.  "first" is the number
 * of the argument run_at, the first of the options, or -1 if the caller has
 * none.  function_owner: of the function, InvalidOid for commands and
 * deliveries.
 */
extern int64 enqueue_job(FunctionCallInfo fcinfo, int first, char kind, const char *function,
						 Oid function_owner, Jsonb *args);

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

/*
 * Make a job of the current role for a function or procedure, with the options
 * that its settings give it.  It is neither inserted nor has it an id or a parent.
 */
extern void enqueue_make_job(const char *name, Jsonb *args, struct Job *job);

extern void enqueue_init(void); /* in _PG_init */

#endif							/* ENQUEUE_H */
