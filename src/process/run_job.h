/*
 * run_job.h
 *		One job of a worker's batch.
 */
#ifndef RUN_JOB_H
#define RUN_JOB_H

#include "job/batch.h"

/*
 * Run a job of the batch, and write down how it ended, however long that takes.
 * Returns false if it was not this worker's to run any more.  One that has
 * a rate waits for its token first, up to RATE_WAIT; if that comes later it is left to be
 * set free.  Memory is taken in "scratch", which is reset first.
 */
extern bool run_job(BatchJob *job, int index, MemoryContext scratch);

/* The job that runs, and since when, or NULL; then it does not any more */
extern BatchJob *run_job_abandon(TimestampTz *since);

#endif							/* RUN_JOB_H */
