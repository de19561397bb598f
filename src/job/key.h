/*
 * key.h
 *		Enqueuing a job whose key another may have: job/key.c.
 */
#ifndef JOB_KEY_H
#define JOB_KEY_H

#include "postgres.h"

struct Job;

/* What to do if there is a job with the key */
typedef enum OnKey
{
	ON_KEY_KEEP,
	ON_KEY_REPLACE,
	ON_KEY_DEBOUNCE,
	ON_KEY_ERROR
} OnKey;

/* The options about the key; times in microseconds */
typedef struct KeyRule
{
	OnKey		on_key;
	int64		debounce_max;	/* of ON_KEY_DEBOUNCE */
	int64		key_for;		/* 0: the key counts while the job is
								 * unfinished */
} KeyRule;

/* What became of an enqueue */
typedef enum EnqueueOutcome
{
	ENQUEUE_NONE,				/* nothing was enqueued */
	ENQUEUE_CREATED,
	ENQUEUE_KEPT,				/* there is one, unchanged */
	ENQUEUE_REPLACED,			/* that one was changed */
	ENQUEUE_QUEUED_BEHIND		/* a new one, which waits for the end of that
								 * one */
} EnqueueOutcome;

/*
 * Enqueue a job that has a key, all fields set but id and claim.  Returns the id
 * of the job that is there then.  Waits for transactions of other sessions that
 * have enqueued, replaced or cancelled one with the key.
 */
extern int64 key_enqueue(struct Job *job, const KeyRule *rule, EnqueueOutcome *outcome);

#endif							/* JOB_KEY_H */
