/*
 * pass.h
 *		A pass: one run of a procedure with steps, from its beginning: steps/pass.c.
 */
#ifndef PASS_H
#define PASS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/elog.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"

#include "base/args.h"
#include "base/job_kind.h"
#include "job/current_job.h"
#include "table/step_table.h"

/* A step that a pass has come to */
typedef struct PassStep
{
	Step		step;			/* of a new one: no result, and not finished */
	bool		found;			/* it has a row: an earlier pass has come to
								 * it */
	ErrorContextCallback callback;
} PassStep;

/*
 * Come to the step that argument 0 names, in a CALL of a procedure of ours that is
 * called "function".  Error if it cannot be committed there, or if the pass has come to
 * a step of that name before.  What the pass has written since the mark before is
 * rolled back if an earlier pass has committed it.  To be ended by pass_leave().
 */
extern void pass_enter(FunctionCallInfo fcinfo, const char *function, PassStep *step);
extern void pass_leave(PassStep *step);

/* Commit the mark of a new step, with what was written since the mark before */
extern void pass_commit(PassStep *step, Jsonb *result);

/* defer.begin_step(): returns true if the step is to be done; defer.end_step() */
extern bool pass_begin_step(FunctionCallInfo fcinfo);
extern void pass_end_step(FunctionCallInfo fcinfo, Jsonb *result);

/*
 * A value of that kind that a function makes once: the name is argument 0.  Returns
 * NULL if it is to be made, and then given to pass_keep_value().
 */
extern Jsonb *pass_find_value(FunctionCallInfo fcinfo, const char *function, char kind);
extern void pass_keep_value(FunctionCallInfo fcinfo, char kind, Jsonb *value);

#endif							/* PASS_H */
