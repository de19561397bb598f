/*
 * step_table.h
 *		Rows of defer.step: table/step_table.c.
 *
 * All reads are as of now, and see what this transaction has written.
 */
#ifndef STEP_TABLE_H
#define STEP_TABLE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "storage/itemptr.h"
#include "utils/jsonb.h"

/* Longest name of a step (bytes) */
#define STEP_NAME_MAX	200

/* step.kind */
#define STEP_WORK	's'			/* defer.step(), defer.begin_step() */
#define STEP_NOW	't'
#define STEP_RANDOM	'r'
#define STEP_SLEEP	'z'
#define STEP_JOB	'j'
#define STEP_EVENT	'e'
#define STEP_REQUEST 'h'
#define STEP_ALL	'a'			/* defer.step_all() */

typedef struct Step
{
	int64		job_id;
	const char *name;
	Oid			owner;			/* of the job */
	int32		ord;			/* place in the pass that began it, from 1 on */
	char		kind;			/* STEP_... */
	Jsonb	   *result;			/* NULL: none */
	TimestampTz started_at;
	TimestampTz finished_at;	/* NO_TIME: not yet */
	TimestampTz until;			/* of a wait: its end; NO_TIME: not known */
	const char *awaits;			/* what it waits for; NULL: a time, or nothing */
	TimestampTz waits_since;	/* NO_TIME: it waits for nothing but a time */
	ItemPointerData tid;		/* of a row that was read */
} Step;

/* Read the step of that name, in the current memory context; false: there is none */
extern bool step_find(int64 job_id, const char *name, Step *step);

extern void step_insert(const Step *step);

/* Write a row that was read; only its worker changes those of a job that runs */
extern void step_update(const Step *step);

/* Note that no step of the job waits any more, as that has ended.  Needs an active snapshot */
extern void step_stop_waiting(int64 job_id);

/* Check whether the job has a step */
extern bool step_any(int64 job_id);

#endif							/* STEP_TABLE_H */
