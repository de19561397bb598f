/*
 * elsewhere.h
 *		Commands on jobs of other nodes of Citus: job/elsewhere.c, and what runs there,
 *		job/run_here.c.
 */
#ifndef JOB_ELSEWHERE_H
#define JOB_ELSEWHERE_H

#include "utils/jsonb.h"

#include "base/citus.h"
#include "base/citus_nodes.h"
#include "base/compat.h"

extern bool elsewhere_check(int64 id);

/*
 * Check whether a job is of another node: its id names one, and no job with that id is
 * here, also none of another role.
 */
static inline bool
job_is_elsewhere(int64 id)
{
	return citus_loaded && elsewhere_check(id);
}

/*
 * Begin the arguments of a command, an object whose first member is the job's id; members
 * are added by jsonb_push_...().
 */
extern void elsewhere_begin(JsonbBuilder *args, int64 id);
extern Jsonb *elsewhere_end(JsonbBuilder *args);

/*
 * Run a command of job/run_here.c on a node, or on all but this one, as citus_ask() does.
 * elsewhere_answer(): the object that a node has answered, with "value" or "error"; NULL: it
 * does not answer, which elsewhere_raise_away() says.  hint: or NULL
 */
extern List *elsewhere_ask(int32 node, const char *command, Jsonb *args);
extern Jsonb *elsewhere_answer(const NodeAnswer *answer);
pg_noreturn extern void elsewhere_raise_away(const NodeAnswer *answer, const char *hint);

/*
 * Run a command of job/run_here.c on the node of the job, as the current user; return what
 * it returned, in the current memory context, NULL for SQL's NULL.  An error of the command
 * is raised here, with its SQLSTATE.  It has been committed there when this returns, and
 * stays if the transaction here fails.  Other errors: the node does not answer, or is not
 * there: then the job is not.
 */
extern Jsonb *elsewhere_run(const char *command, JsonbBuilder *args, int64 id);

/* The same for commands with one more argument, which return true or false; text: or NULL */
extern Datum elsewhere_forced(const char *command, int64 id, bool force);
extern Datum elsewhere_with_text(const char *command, int64 id, const char *key,
								 const char *text);

extern int64 elsewhere_rerun(int64 id, const char *from_step, bool force);

/* Wait there for the end of a job, so long at most: then *timed_out is true */
extern Jsonb *elsewhere_await(int64 id, int64 milliseconds, bool *timed_out);

#endif							/* JOB_ELSEWHERE_H */
