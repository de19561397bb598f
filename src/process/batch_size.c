/*
 * batch_size.c
 *		How many jobs a worker takes at a time.
 *
 * The jobs of a batch should take a certain time together.  Where each commit
 * is flushed a job mostly waits for the disk, and so does a claim: fewer claims
 * then.  Where there are jobs of several priorities there are more claims: when
 * all workers are busy an urgent job waits until a batch is done.
 */
#include "process/batch_size.h"

/* Microseconds that the jobs of a batch should take */
#define BATCH_TIME		(10 * 1000)
#define BATCH_TIME_FLUSHED	(40 * 1000)
#define BATCH_TIME_PRIORITIES	(3 * 1000)

/* So long after the last change of priority (microseconds) */
#define PRIORITIES_REMEMBERED	INT64_C(30000000)

/* A batch has at most so many times the jobs of the last one */
#define BATCH_GROWTH	4

static double
batch_time(BatchSizing *sizing, const BatchRun *last)
{
	if (sizing->known && last->priority != sizing->priority)
		sizing->changed_at = last->now;
	sizing->known = true;
	sizing->priority = last->priority;
	if (sizing->changed_at != 0 && last->now - sizing->changed_at < PRIORITIES_REMEMBERED)
		return BATCH_TIME_PRIORITIES;
	return last->flushed ? BATCH_TIME_FLUSHED : BATCH_TIME;
}

int
batch_size_next(BatchSizing *sizing, const BatchRun *last, int limit)
{
	double		time = batch_time(sizing, last);
	double		each = (double) last->elapsed / (last->done > 1 ? last->done : 1);
	double		size = limit;

	sizing->average = sizing->average == 0 ? each : 0.5 * sizing->average + 0.5 * each;
	if (sizing->average > 0 && time / sizing->average < size)
		size = time / sizing->average;
	if (size > (double) last->max * BATCH_GROWTH)
		size = (double) last->max * BATCH_GROWTH;
	return size < 1 ? 1 : (int) size;
}
