/*
 * begun_jobs.h
 *		The file of begun jobs: which job each worker runs, for the time after a
 *		crash of the server.
 *
 * A file in pg_stat_tmp, which base backups and pg_rewind leave out, is mapped into
 * all processes.  So what is stored there outlives each process and the server, and
 * is lost only with the machine.  It costs no system call and no WAL.
 *
 * Each worker has an entry.  It stores the job's identity, and last of all "begun".
 * When a process crashes the postmaster stops the others by SIGQUIT: each leaves a
 * mark in its entry.  So the process that has begun a job and has no mark is the one
 * that crashed.  At its next start the postmaster judges the entries, and the
 * schedulers deal with the jobs (job/crashed_jobs.c): test/model/begun.pml.
 */
#ifndef DEFER_BEGUN_JOBS_H
#define DEFER_BEGUN_JOBS_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "base/job.h"

/* What the end of its process says of a job */
typedef enum CrashVerdict
{
	CRASH_BYSTANDER = 1,		/* it was stopped because of another process */
	CRASH_SUSPECT,				/* it may have crashed the server */
	CRASH_CULPRIT				/* it has, alone */
} CrashVerdict;

/* An entry: a cache line */
typedef struct BegunJob
{
	uint64		begun;			/* the file's nonce: the job runs; 0: it does
								 * not.  Stored last */
	int64		job_id;
	TimestampTz enqueued_at;	/* sequences give numbers out twice after a
								 * crash */
	TimestampTz started_at;
	Oid			database;
	int32		attempt;		/* attempts before this one */
	int16		suspect;		/* of the row, when it began */
	int16		persists;		/* what it does is not rolled back by a crash */
	int32		mark;			/* how the worker was stopped; of a job of
								 * before the start: CrashVerdict */
	int64		unused[2];
} BegunJob;

/*
 * begun_file.c, in the postmaster, for so many slots of workers; own_data: the server
 * goes on with the data that it had
 */
extern void begun_jobs_open(int nworkers, bool own_data);

/* In a worker: its entry is that of its slot.  Are begun jobs stored? */
extern void begun_jobs_attach(int slot);
extern bool begun_jobs_stored(void);

/*
 * The worker begins a job; false: it could not be stored.  What the job does from
 * now on stays after a crash.  Its row has so many attempts by now.  The job has ended,
 * or the process does.
 */
extern bool begun_job_store(const Job *job, TimestampTz started_at);
extern void begun_job_persists(void);
extern void begun_job_set_attempt(int32 attempt);
extern void begun_job_clear(void);

/*
 * The process ends because the postmaster has: the next start deals with its job, as
 * with one that was stopped.  False: it is not stored.
 */
extern bool begun_job_leave(void);

/* The worker's SIGQUIT handler */
extern void begun_job_handle_sigquit(SIGNAL_ARGS);

/*
 * In a scheduler: the next job of its database that had begun when the server
 * crashed, from that index on.  Returns its index, -1: none.  Forget it.
 */
extern int	begun_jobs_next(int index, BegunJob *job);
extern void begun_jobs_forget(int index);

#endif							/* DEFER_BEGUN_JOBS_H */
