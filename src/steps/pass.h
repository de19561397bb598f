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
#include "base/compat.h"
#include "base/job_kind.h"
#include "job/current_job.h"
#include "table/step_table.h"

/* A step that a pass has come to */
typedef struct PassStep
{
	Step		step;			/* of a new one: no result, and not finished */
	bool		found;			/* an earlier pass has come to it */
	bool		done;			/* and has completed it */
	bool		snapshot;		/* there is an active one, of pass_enter() */
	ErrorContextCallback callback;
} PassStep;

/*
 * Come to the step of that kind that argument 0 names, in a CALL of a procedure of ours
 * that is called "function".  Error if it cannot be committed there, or if the pass has
 * come to a step of that name before.  What the pass has written since the mark before is
 * rolled back if an earlier pass has committed it.  To be ended by pass_leave(), and has
 * an active snapshot.
 */
extern void pass_enter(FunctionCallInfo fcinfo, const char *function, char kind, PassStep *step);
extern void pass_leave(PassStep *step);

/* Error if so many bytes are too large for the result of a step */
extern void pass_check_size(const PassStep *step, Size size);

/* Commit the mark of a step, with what was written since the mark before */
extern void pass_commit(PassStep *step, Jsonb *result);

/*
 * Commit that the step waits, and end the pass, by an error.  The job is called again at
 * "until", DT_NOEND: when what it waits for lets it (waits is WAITS_...).
 */
pg_noreturn extern void pass_wait(PassStep *step, char waits, TimestampTz until);

/* The only INOUT parameter of a procedure, as CALL wants it; NULL is SQL's NULL */
extern Datum pass_return_jsonb(FunctionCallInfo fcinfo, Jsonb *value);

/* Have the job this as its result, in place of what the procedure returns; NULL: none */
extern void pass_set_result(Jsonb *result);

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
