/*
 * all.h
 *		Steps that wait for jobs of their own: steps/all.c.
 */
#ifndef STEPS_ALL_H
#define STEPS_ALL_H

#include "steps/pass.h"

/* Commit that a new step waits for jobs that this transaction has enqueued; as pass_wait() */
pg_noreturn extern void all_wait(PassStep *step, int n, const int64 *ids);

/*
 * In a later pass: wait on, or return the results of the jobs, in their order, as an array;
 * null for one that has none or did not succeed.  fail: raise an error if one did not, which
 * names the element of that array (NULL: there is but one job) and has that hint.  Without
 * "results" NULL is returned.
 */
extern Jsonb *all_results(PassStep *step, bool fail, const char *array, const char *hint,
						  bool results);

/* The arguments of a job by an element of an array: a single value is the only one */
extern Jsonb *all_args(JsonbValue *element);

#endif							/* STEPS_ALL_H */
