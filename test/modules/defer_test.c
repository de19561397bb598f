/*
 * defer_test.c
 *		What tests need and SQL cannot do: functions that take their process with
 *		them, background workers that only hold their slot, messages that are no text,
 *		threads.
 *
 * Loaded by its path from the TAP tests, never installed.
 */
#include "postgres.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "access/tableam.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/wait_event.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(crash);
PG_FUNCTION_INFO_V1(half_a_character);
PG_FUNCTION_INFO_V1(hold_slots);
PG_FUNCTION_INFO_V1(other_handler);
PG_FUNCTION_INFO_V1(thread_of_timer);
PGDLLEXPORT void holder_main(Datum arg);

/* Die, as the argument says */
Datum
crash(PG_FUNCTION_ARGS)
{
	char	   *how = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (strcmp(how, "null") == 0)
		*(volatile int *) NULL = 1;
	else if (strcmp(how, "abort") == 0)
		abort();
	else if (strcmp(how, "kill") == 0)
		kill(getpid(), SIGKILL);
	else if (strcmp(how, "exit") == 0)
		_exit(0);
	else if (strcmp(how, "panic") == 0)
		elog(PANIC, "as wanted");
	else
		elog(ERROR, "what is \"%s\"?", how);
	PG_RETURN_VOID();
}

/* A warning and an error that end with half of a character, if the encoding is UTF-8 */
Datum
half_a_character(PG_FUNCTION_ARGS)
{
	ereport(WARNING, (errmsg("half of \xc3")));
	ereport(ERROR, (errmsg("half of \xc3"), errdetail("Half of \xc3")));
	PG_RETURN_VOID();
}

/* A background worker that does nothing, until it is terminated */
void
holder_main(Datum arg)
{
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	for (;;)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* hold_slots(library): take all background workers that are free; returns how many */
Datum
hold_slots(PG_FUNCTION_ARGS)
{
	BackgroundWorker worker = {0};
	int			held = 0;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	text_to_cstring_buffer(PG_GETARG_TEXT_PP(0), worker.bgw_library_name,
						   sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "holder_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "slot holder", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "slot holder", BGW_MAXLEN);
	while (RegisterDynamicBackgroundWorker(&worker, NULL))
		held++;
	PG_RETURN_INT32(held);
}

/* A table access method that is heap under another name */
Datum
other_handler(PG_FUNCTION_ARGS)
{
	static TableAmRoutine routine;

	routine = *GetHeapamTableAmRoutine();
	PG_RETURN_POINTER(&routine);
}

/* What thread_of_timer() and its thread tell each other */
static volatile sig_atomic_t thread_interrupted;
static volatile sig_atomic_t thread_stop;

static const struct timespec thread_pause = {.tv_nsec = 5 * 1000 * 1000};

/* A thread as languages start them: it sleeps, and all signals are for it, too */
static void *
sleep_in_thread(void *arg)
{
	sigset_t	ours;

	sigemptyset(&ours);
	sigaddset(&ours, SIGUSR2);
	pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
	while (!thread_stop && !thread_interrupted)
		thread_interrupted = nanosleep(&thread_pause, NULL) != 0;
	return NULL;
}

/*
 * In a worker, whose timer ticks: find the thread that the timer's signal comes to.
 * The main thread has the signal blocked, so that one for the whole process would be
 * handled in the other thread, where PostgreSQL's handlers must never run.
 */
Datum
thread_of_timer(PG_FUNCTION_ARGS)
{
	sigset_t	all,
				ours,
				pending,
				old;
	pthread_t	thread;

	thread_interrupted = thread_stop = false;
	sigemptyset(&ours);
	sigaddset(&ours, SIGUSR2);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	if (pthread_create(&thread, NULL, sleep_in_thread, NULL) != 0)
	{
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		elog(ERROR, "could not start a thread");
	}
	do
	{
		nanosleep(&thread_pause, NULL);
		sigpending(&pending);
	} while (!sigismember(&pending, SIGUSR2) && !thread_interrupted);
	thread_stop = true;
	pthread_join(thread, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	PG_RETURN_TEXT_P(cstring_to_text(thread_interrupted ? "another" : "main"));
}
