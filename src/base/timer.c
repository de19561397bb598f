/*
 * timer.c
 *		A clock that cannot be set, and the timer of a worker.
 *
 * PostgreSQL's own timers go by the wall clock: if that is set back by an
 * hour, a timer comes an hour late, and a job that is over its max_duration
 * would not be stopped.  So one of the system's is used, on the monotonic
 * clock; its signal is one that background workers have no other use for.
 */
#include "postgres.h"

#include <signal.h>
#include <time.h>

#include "libpq/pqsignal.h"
#include "portability/instr_time.h"

#include "base/timer.h"

/* Older versions of glibc have no name for it */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id	_sigev_un._tid
#endif

static timer_t timer;
static void (*called) (void);	/* each time */

int64
monotonic_now(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MICROSEC(now);
}

static void
handle_sigusr2(SIGNAL_ARGS)
{
	int			save_errno = errno;

	called();
	errno = save_errno;
}

static void
set_interval(int milliseconds)
{
	struct itimerspec when = {0};

	when.it_interval.tv_sec = milliseconds / 1000;
	when.it_interval.tv_nsec = milliseconds % 1000 * 1000000L;
	when.it_value = when.it_interval;
	if (timer_settime(timer, 0, &when, NULL) != 0)
		elog(FATAL, "could not set a timer: %m");
}

void
interval_timer_init(void (*function) (void))
{
	struct sigevent event = {0};

	called = function;
	pqsignal(SIGUSR2, handle_sigusr2);
	/* to this thread, not to one that a language has started */
	event.sigev_notify = SIGEV_THREAD_ID;
	event.sigev_notify_thread_id = gettid();
	event.sigev_signo = SIGUSR2;
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
		ereport(FATAL,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not create a timer: %m")));
}

void
interval_timer_start(int milliseconds)
{
	set_interval(milliseconds);
}

void
interval_timer_stop(void)
{
	set_interval(0);
}
