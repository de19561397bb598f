/*
 * live_log.h
 *		What the job that a worker runs has said so far: shmem/live_log.c.
 */
#ifndef LIVE_LOG_H
#define LIVE_LOG_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* A job that a worker runs */
typedef struct RunningJob
{
	int			slot;			/* of the worker */
	int64		id;
	Oid			owner;
	TimestampTz started_at;		/* of the attempt */
} RunningJob;

/*
 * shmem/workers.c: the slot of this worker, and when its job began; -1: it is no worker.
 * The jobs that run in a database: returns how many there are, in the current memory
 * context.
 */
extern int	workers_own_slot(TimestampTz *started_at);
extern int	workers_running(Oid database, RunningJob **jobs);

/* A message in what live_log_read() returns; the text follows, without a zero */
typedef struct LiveMessage
{
	TimestampTz at;
	int32		level;			/* as of ereport() */
	int32		length;
} LiveMessage;

/*
 * In a worker: note a message of its job, of which one attempt runs.  May be called in
 * the middle of ereport(): throws nothing; what cannot be noted is left out.
 */
extern void live_log_add(int64 job_id, int32 attempt, TimestampTz at, int level, const char *text);

/* The attempt is over: its messages are in defer.log, or forgotten */
extern void live_log_end(void);

/*
 * Read the messages of a job that runs, in the current memory context: *size bytes of
 * them.  Returns NULL if there are none.
 */
extern char *live_log_read(const RunningJob *job, int32 *attempt, Size *size);

/*
 * Take the next message from there, at *at, which is moved on.  Returns NULL at the end.
 * It may not be aligned, so it is copied.
 */
extern const char *live_log_next(const char *content, Size size, Size *at, LiveMessage *message);

#endif							/* LIVE_LOG_H */
