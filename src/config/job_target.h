/*
 * job_target.h
 *		What a name stands for where a job, a schedule or an alert is asked for: a
 *		function, or a task.
 *
 * A function that search_path finds wins over a task of that name.
 */
#ifndef DEFER_JOB_TARGET_H
#define DEFER_JOB_TARGET_H

#include "utils/jsonb.h"

#include "function/function.h"

typedef struct JobTarget
{
	char		kind;			/* of its jobs: JOB_... */
	const char *name;			/* signature or name, as jobs carry it */
	Oid			owner;
	FunctionEntry *function;	/* NULL: a task */
} JobTarget;

/*
 * Find what the current user means by a name, to enqueue it with these arguments,
 * which are replaced by those to be stored.  Errors: no such function or task; no
 * right to it; the arguments do not fit.  Good as long as a FunctionEntry is.
 */
extern void job_target_resolve(const char *name, Jsonb **args, JobTarget *target);

/* The same without looking at arguments, and of a task at rights */
extern void job_target_resolve_name(const char *name, JobTarget *target);

#endif							/* DEFER_JOB_TARGET_H */
