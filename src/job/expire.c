/*
 * expire.c
 *		Ending free jobs that are not run: jobs over a limit, where at_limit is
 *		"cancel", and jobs of roles that cannot run any.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/job_state.h"
#include "base/own_transaction.h"
#include "base/role_check.h"
#include "job/expire.h"
#include "shmem/limits.h"
#include "job/end.h"

/* Ready queues that are looked at for jobs to cancel, at one time */
#define CANCEL_QUEUES	128

/* Rows that are ended in one transaction */
#define END_ROWS	500

/* Jobs of a role that could not be ended are tried again after this */
#define ERROR_DELAY	(5 * USECS_PER_SEC)

/* Roles that are put off after an error; the oldest makes room for more */
#define MAX_PUT_OFF	32

static struct
{
	Oid			owner;
	TimestampTz until;
}			postponed[MAX_PUT_OFF];

static void
postpone_role(Oid owner, TimestampTz until)
{
	static int	next = 0;

	postponed[next].owner = owner;
	postponed[next].until = until;
	next = (next + 1) % MAX_PUT_OFF;
}

/* Check whether the role is put off.  Lowers *next_check to when it is over */
static bool
is_postponed(Oid owner, TimestampTz now, TimestampTz *next_check)
{
	for (int i = 0; i < MAX_PUT_OFF; i++)
	{
		if (postponed[i].owner != owner || postponed[i].until <= now ||
			postponed[i].until > now + ERROR_DELAY) /* the clock was set back */
			continue;
		*next_check = Min(*next_check, postponed[i].until);
		return true;
	}
	return false;
}

/* Report the error of ending jobs of a role, and put them off */
static void
report_expire_error(MemoryContext context, Oid owner, TimestampTz now, TimestampTz *next_check)
{
	own_transaction_report_error(context);
	postpone_role(owner, now + ERROR_DELAY);
	*next_check = Min(*next_check, now + ERROR_DELAY);
}

/* Cancel some due jobs of one ready queue; returns how many */
static int
cancel_due(const ReadyQueueChoice *queue, TimestampTz now, TimestampTz *next_check)
{
	MemoryContext context = CurrentMemoryContext;
	volatile int ended = 0;

	PG_TRY();
	{
		ReadyKey	next;

		own_transaction_begin();
		ended = job_end_due(queue, now, END_ROWS, STATE_CANCELLED, NULL,
							"the function was at its concurrency limit, and at_limit is \"cancel\"",
							&next);
		own_transaction_end();
	}
	PG_CATCH();
	{
		report_expire_error(context, queue->owner, now, next_check);
	}
	PG_END_TRY();
	return ended;
}

void
expire_at_limits(TimestampTz now, TimestampTz *next_check)
{
	static int	first = 0;		/* in turns, so that none waits for another */
	ReadyQueueChoice queues[CANCEL_QUEUES];
	int			n = ready_queues_to_cancel(MyDatabaseId, now, queues, CANCEL_QUEUES);

	for (int k = 0; k < n; k++)
	{
		int			i = (first + k) % n;

		if (!is_postponed(queues[i].owner, now, next_check) &&
			cancel_due(&queues[i], now, next_check) > 0)
		{
			first = i + 1;
			*next_check = now;
			return;
		}
	}
}

/* Fail some due jobs of the chosen ready queue of a role */
static int
fail_due(ReadyQueueChoice *choice, OwnerState state, TimestampTz now)
{
	const char *sqlstate = NULL;
	char	   *why;
	int			ended;

	own_transaction_begin();
	why = role_check_failure(choice->owner, state, &sqlstate);
	ready_queue_scan_begin(choice, MyDatabaseId);
	ended = job_end_due(choice, now, END_ROWS, STATE_FAILED, sqlstate, why, &choice->next);
	ready_queue_scan_advance(choice, MyDatabaseId, now);
	own_transaction_end();
	return ended;
}

void
expire_jobs_of_role(Oid owner, OwnerState state, TimestampTz now, TimestampTz *next_check)
{
	MemoryContext context = CurrentMemoryContext;
	ReadyClaim *claim;
	volatile int ended = 0;
	volatile bool failed = false;

	if (is_postponed(owner, now, next_check) ||
		(claim = ready_queue_choose(MyDatabaseId, owner, 1, now, next_check)) == NULL)
		return;
	PG_TRY();
	{
		ended = fail_due(&claim->queues[0], state, now);
	}
	PG_CATCH();
	{
		ready_queue_scan_abort(claim, MyDatabaseId);
		report_expire_error(context, owner, now, next_check);
		failed = true;
	}
	PG_END_TRY();
	if (failed)
		return;

	/* if any were ended the rest need not be locked: go on with it */
	claim->queues[0].pause_after = ended == 0;
	(void) ready_queue_scan_end(claim, MyDatabaseId, now);
	*next_check = now;
}
