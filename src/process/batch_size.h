/*
 * batch_size.h
 *		How many jobs a worker takes at a time: arithmetic, without a server.
 */
#ifndef BATCH_SIZE_H
#define BATCH_SIZE_H

#include <stdbool.h>
#include <stdint.h>

/* What a worker remembers from batch to batch; zeroed at first */
typedef struct BatchSizing
{
	bool		known;			/* there was a batch */
	int32_t		priority;		/* of the last one's jobs */
	int64_t		changed_at;		/* of the priority; 0: never */
	double		average;		/* microseconds a job takes */
} BatchSizing;

/* A batch that has been run; times are microseconds */
typedef struct BatchRun
{
	int32_t		priority;		/* of its first job */
	bool		flushed;		/* each job's commit waits for the disk */
	int			max;			/* jobs that it might have had */
	int			done;
	int64_t		elapsed;
	int64_t		now;			/* of the monotonic clock */
} BatchRun;

/* Returns how many jobs the next batch may have, at most "limit" */
extern int	batch_size_next(BatchSizing *sizing, const BatchRun *last, int limit);

#endif							/* BATCH_SIZE_H */
