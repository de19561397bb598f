/*
 * fan_out_table.h
 *		Batches: rows of defer.fan_out: table/fan_out_table.c.
 *
 * Where ids of jobs are awaited, the end of the batch of a job is awaited by its
 * negative id: shmem/dependents.h, defer.dependency.
 */
#ifndef FAN_OUT_TABLE_H
#define FAN_OUT_TABLE_H

#include "postgres.h"

typedef struct FanOut
{
	int64		id;				/* the job that enqueues those that are
								 * counted */
	Oid			owner;
	int64		from_id;		/* smaller ids are not counted */
	bool		deep;			/* the jobs that they enqueue are counted, too */
	int64		outer_id;		/* a batch in which all this is counted, too;
								 * 0: none */
	bool		done;			/* all have ended */
	bool		uncommitted;	/* the transaction under way has made it */
} FanOut;

extern void fan_out_insert(const FanOut *fan_out);

/* Read a row as of now; false: there is none */
extern bool fan_out_read(int64 id, FanOut *fan_out);

/*
 * The same if a job waits for its end.  A job without a batch costs two reads of
 * memory.
 */
extern bool fan_out_find(int64 id, FanOut *fan_out);

#endif							/* FAN_OUT_TABLE_H */
