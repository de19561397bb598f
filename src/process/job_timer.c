/*
 * job_timer.c
 *		The timer of a worker.
 *
 * It ticks while the worker has a batch.  It stops a job that is over its time,
 * or was cancelled by force: by a cancel of its query, again and again, and in
 * the end with the process.  And it wakes the scheduler when jobs wait behind a
 * long one, so that another worker takes them over.
 *
 * transaction_timeout (from PostgreSQL 17 on) ends the process, which would be
 * a crash of the job.  So it is off in a worker, and its value is one more time
 * limit of each job.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/timeout.h"

#include "base/compat.h"
#include "base/timer.h"
#include "shmem/databases.h"
#include "shmem/workers.h"
#include "job/current_job.h"
#include "process/job_timer.h"

/* Milliseconds */
#define TICK			100

/* A job that was told to stop is told again so often, and then ended with the process */
#define STOP_AGAIN_TICKS	3
#define STOP_DIE_TICKS		8

static volatile sig_atomic_t ticking = false;
static volatile uint32 job_serial = 0;	/* grows with each job; 0 in the low
										 * bit while none runs */
static uint32 tick_serial = 0;	/* as of the last tick */
static volatile int64 deadline = 0; /* microseconds of the monotonic clock; 0:
									 * none */
static volatile sig_atomic_t timed_out = false;
static int	stop_ticks = 0;		/* since the job was told to stop */

static int64 transaction_timeout = 0;	/* the role's; microseconds, 0: none */

/* In a signal handler: ask the job to stop */
static void
interrupt_job(void)
{
	if (stop_ticks >= STOP_DIE_TICKS)
		ProcDiePending = true;
	else
		QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

/*
 * In a signal handler.  The scheduler may exit in this moment, and its latch is
 * then another process' or none's: so it is read once.
 */
static void
wake_scheduler_from_signal(void)
{
	Latch	   *latch = *(Latch *volatile *) &my_database->scheduler.latch;

	if (latch != NULL)
		SetLatch(latch);
}

static void
worker_tick(void)
{
	bool		same_job = job_serial != 0 && job_serial == tick_serial;

	tick_serial = job_serial;
	if (!ticking)
		return;
	if (job_serial != 0)
	{
		if (deadline != 0 && monotonic_now() >= deadline)
			timed_out = true;
		if (timed_out || my_worker->cancel_job != 0)
		{
			if (stop_ticks % STOP_AGAIN_TICKS == 0 || stop_ticks >= STOP_DIE_TICKS)
				interrupt_job();
			stop_ticks++;
		}
		/* unlocked looks: at worst the scheduler is woken in vain */
		if (same_job && my_worker->nwaiting > 0)
			wake_scheduler_from_signal();
	}
}

void
job_timer_start(void)
{
	if (ticking)
		return;
	ticking = true;
	interval_timer_start(TICK);
}

void
job_timer_stop(void)
{
	if (!ticking)
		return;
	ticking = false;
	interval_timer_stop();
}

void
job_timer_forget_cancel(void)
{
	HOLD_INTERRUPTS();
	QueryCancelPending = false;
	RESUME_INTERRUPTS();
}

void
job_timer_arm(const JobPolicy *policy)
{
	static uint32 serial = 0;

	if (++serial == 0)
		serial = 1;
	timed_out = false;
	stop_ticks = 0;
	deadline = 0;
	current_job.transaction_timeout = 0;
	if (transaction_timeout > 0 &&
		(policy->max_duration == 0 || transaction_timeout < policy->max_duration))
		current_job.transaction_timeout = transaction_timeout;
	if (current_job.transaction_timeout > 0)
		deadline = monotonic_now() + transaction_timeout;
	else if (policy->max_duration > 0)
		deadline = monotonic_now() + policy->max_duration;
	job_serial = serial;
	if (StatementTimeout > 0)
		enable_timeout_after(STATEMENT_TIMEOUT, StatementTimeout);
}

void
job_timer_disarm(void)
{
	job_serial = 0;
	deadline = 0;
	disable_timeout(STATEMENT_TIMEOUT, false);
	job_timer_forget_cancel();
}

void
job_timer_suspend(void)
{
	job_serial = 0;
	deadline = 0;
}

bool
job_timer_is_armed(void)
{
	return job_serial != 0;
}

bool
job_timer_expired(void)
{
	return timed_out;
}

void
job_timer_shut_down(void)
{
	ticking = false;
	job_serial = 0;
}

void
job_timer_init(void)
{
	transaction_timeout = (int64) compat_transaction_timeout_off() * 1000;
	interval_timer_init(worker_tick);
}
