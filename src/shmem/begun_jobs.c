/*
 * begun_jobs.c
 *		Stores to the file of begun jobs: see begun_jobs.h.
 *
 * The file was written in full before it was mapped (begun_file.c).  Where the file
 * system gives out new blocks all the same, or the file was cut by hand, a store raises
 * SIGBUS: it is caught, and the process goes on without the file.
 */
#include "postgres.h"

#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/proc.h"

#include "shmem/begun_file.h"

/* In a worker, in the mapping; NULL: there is none, or it cannot be stored to any more */
static volatile BegunJob *my_entry = NULL;

/* ------------------------------------------------------------------------
 * Stores that may fail
 * ------------------------------------------------------------------------ */

/* What SIGBUS in a store leads to */
static volatile enum
{
	STORE_NONE,					/* it is not ours */
	STORE_JUMP,					/* back, to go on without the file */
	STORE_EXIT					/* the process ends anyway */
}			store = STORE_NONE;

static sigjmp_buf store_failed;

static void
handle_sigbus(int signo)
{
	if (store == STORE_JUMP)
		siglongjmp(store_failed, 1);
	if (store == STORE_EXIT)
		_exit(2);
	signal(SIGBUS, SIG_DFL);	/* the instruction is repeated */
}

/* Once in each process that touches the mapping */
static void
catch_sigbus(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = handle_sigbus;
	action.sa_flags = SA_NODEFER;	/* siglongjmp() leaves it */
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, &action, NULL) != 0)
		elog(FATAL, "could not set a signal handler: %m");
}

/* Do something with the mapping; false: it failed, and the process goes on without it */
static bool
touch_file(void (*action) (void *arg), void *arg)
{
	if (sigsetjmp(store_failed, 0) == 0)
	{
		store = STORE_JUMP;
		action(arg);
		store = STORE_NONE;
		return true;
	}
	store = STORE_NONE;
	my_entry = NULL;
	begun_file = NULL;
	ereport(LOG,
			(errcode(ERRCODE_IO_ERROR),
			 errmsg("could not access file \"%s\" any more", BEGUN_FILE),
			 errdetail("Claims of this process are flushed instead, and a job of it that crashes the server is not recognized."),
			 errhint("Restart the server when the disk has space.")));
	return false;
}

/* ------------------------------------------------------------------------
 * In a worker
 * ------------------------------------------------------------------------ */

static uint64
file_nonce(void)
{
	return ((BegunHeader *) begun_file)->nonce;
}

void
begun_jobs_attach(int slot)
{
	if (begun_file == NULL)
		return;
	catch_sigbus();
	my_entry = begun_entry(begun_file, slot);
	begun_job_clear();			/* of the one that was here before */
}

bool
begun_jobs_stored(void)
{
	return my_entry != NULL;
}

static void
store_job(void *arg)
{
	const BegunJob *job = arg;

	my_entry->job_id = job->job_id;
	my_entry->enqueued_at = job->enqueued_at;
	my_entry->started_at = job->started_at;
	my_entry->database = job->database;
	my_entry->attempt = job->attempt;
	my_entry->suspect = job->suspect;
	my_entry->persists = job->persists;
	my_entry->mark = job->mark;
	pg_write_barrier();
	my_entry->begun = file_nonce();
}

static void
store_persists(void *arg)
{
	my_entry->persists = true;
}

static void
store_attempt(void *arg)
{
	my_entry->attempt = *(const int32 *) arg;
}

static void
store_stopped(void *arg)
{
	my_entry->mark = MARK_STOPPED;
}

static void
store_end(void *arg)
{
	my_entry->begun = 0;
}

bool
begun_job_store(const Job *job, TimestampTz started_at)
{
	BegunJob	begun = {
		.job_id = job->id,
		.enqueued_at = job->enqueued_at,
		.started_at = started_at,
		.database = MyDatabaseId,
		.attempt = job->attempt,
		.suspect = job->suspect,
		.mark = MARK_NONE,
	};

	return my_entry != NULL && touch_file(store_job, &begun);
}

void
begun_job_persists(void)
{
	if (my_entry != NULL)
		(void) touch_file(store_persists, NULL);
}

void
begun_job_set_attempt(int32 attempt)
{
	if (my_entry != NULL)
		(void) touch_file(store_attempt, &attempt);
}

void
begun_job_clear(void)
{
	if (my_entry != NULL)
		(void) touch_file(store_end, NULL);
}

bool
begun_job_leave(void)
{
	if (my_entry == NULL || !touch_file(store_stopped, NULL))
		return false;
	my_entry = NULL;
	return true;
}

/*
 * Check whether a parallel worker of this process is gone.  One that was stopped by
 * SIGQUIT as we are may be gone, too: so that says nothing for sure.  In a signal
 * handler.
 */
static bool
helper_is_lost(void)
{
	if (MyProc == NULL || MyProc->lockGroupLeader != MyProc)
		return false;
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		const volatile PGPROC *proc = &ProcGlobal->allProcs[i];
		const int	pid = proc->pid;

		if (proc != MyProc && proc->lockGroupLeader == MyProc && pid > 0 &&
			kill(pid, 0) != 0 && errno == ESRCH)
			return true;
	}
	return false;
}

/*
 * The postmaster stops this process because another one has crashed, or by an
 * immediate stop: leave the mark.  A child between fork() and exec() does not.
 */
void
begun_job_handle_sigquit(SIGNAL_ARGS)
{
	if (my_entry != NULL && MyProcPid == (int) getpid())
	{
		store = STORE_EXIT;
		my_entry->mark = helper_is_lost() ? MARK_HELPER_LOST : MARK_STOPPED;
	}
	_exit(2);
}

/* ------------------------------------------------------------------------
 * In a scheduler
 * ------------------------------------------------------------------------ */

/* A search for jobs of this database, from an index on */
typedef struct Search
{
	int			index;			/* where it was found; -1: none */
	BegunJob	job;
} Search;

static void
search(void *arg)
{
	Search	   *search = arg;
	const BegunHeader *header = (BegunHeader *) begun_file;

	for (; search->index < header->ncrashed; search->index++)
	{
		search->job = *begun_entry(begun_file, header->nworkers + search->index);
		if (search->job.begun == header->nonce && search->job.database == MyDatabaseId)
			return;
	}
	search->index = -1;
}

static void
forget(void *arg)
{
	begun_entry(begun_file, ((BegunHeader *) begun_file)->nworkers + *(int *) arg)->begun = 0;
}

int
begun_jobs_next(int index, BegunJob *job)
{
	Search		found = {index};

	if (begun_file == NULL)
		return -1;
	catch_sigbus();
	if (!touch_file(search, &found))
		return -1;
	*job = found.job;
	return found.index;
}

void
begun_jobs_forget(int index)
{
	if (begun_file != NULL)
		(void) touch_file(forget, &index);
}
