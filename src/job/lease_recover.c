/*
 * lease_recover.c
 *		Leases that no call of a worker ends: those that are over, and those of
 *		before the server was started.
 *
 * A worker outside of the server lives on when that stops.  So its leases are read
 * from defer.claim, and have their whole length anew.  They are no orphans and
 * no suspects: see job/recovery.c.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/own_transaction.h"
#include "base/subtransaction.h"
#include "config/job_policy.h"
#include "config/settings_cache.h"
#include "job/lease.h"
#include "shmem/scheduler_wake.h"
#include "shmem/limits.h"
#include "table/job_by_id.h"

/* Leases that are ended in one transaction */
#define END_MAX		100

/* Another session has the row locked, or it could not be written: look again */
#define RETRY_DELAY	USECS_PER_SEC

/* ------------------------------------------------------------------------
 * After a start
 * ------------------------------------------------------------------------ */

/* Make a lease of a job whose row is locked; false: there is no room */
static bool
restore_job(Job *job, const ClaimRow *claim)
{
	const TimestampTz now = GetCurrentTimestamp();
	JobPolicy	policy;
	Lease		lease = {{job->id, MyDatabaseId, 0}, LEASE_HELD};

	job_policy(job, &policy);
	settings_set_scopes(job);
	lease.claim_id = claim->id;
	lease.njobs = claim->njobs;
	lease.token = *claim->token;
	lease.role = claim->role;
	lease.owner = job->owner;
	lease.length = claim->length;
	lease.taken_at = claim->claimed_at;
	lease.until = now + claim->length;
	lease.deadline = policy.max_duration > 0 ? now + policy.max_duration : DT_NOEND;
	lease.heard_at = NO_TIME;
	lease.progress = -1;
	lease.scopes = job->scopes;
	if (claim->worker != NULL)
		strlcpy(lease.worker, claim->worker, LEASE_WORKER_MAX);
	if (leases_reserve(lease.role, 1) == 0)
		return false;
	if (!limits_occupy(MyDatabaseId, lease.owner, &lease.scopes))
	{
		leases_unreserve(lease.role, 1);
		return false;
	}
	leases_add(&lease);
	database_lease_ends(MyDatabaseId, Min(lease.until, lease.deadline));
	return true;
}

bool
lease_restore(const ClaimRow *claim)
{
	bool		complete = true;

	own_transaction_begin();
	for (int i = 0; i < claim->njobs; i++)
	{
		Lease		lease;
		Job			job;

		CHECK_FOR_INTERRUPTS();
		if (lease_read(MyDatabaseId, claim->jobs[i], &lease) && lease.claim_id == claim->id)
			continue;
		switch (job_lock_claim(claim->jobs[i], claim->id, true, &job))
		{
			case JOB_GONE:
				break;
			case JOB_BUSY:
				complete = false;
				break;
			case JOB_LOCKED:
				if (!restore_job(&job, claim))
					complete = false;
				break;
		}
	}
	own_transaction_end();
	return complete;
}

/* ------------------------------------------------------------------------
 * Leases that are over
 * ------------------------------------------------------------------------ */

typedef struct EndingLease
{
	Lease	   *lease;
	TimestampTz now;
	bool		done;			/* it can be removed */
} EndingLease;

/* Set what becomes of an attempt whose lease is over */
static void
set_outcome(const Lease *lease, TimestampTz now, DeliveryEnd *end)
{
	end->wait = -1;
	end->sqlerrcode = ERRCODE_QUERY_CANCELED;
	if (lease->cancel)
	{
		end->outcome = DELIVERY_CANCELLED;
		end->message = pstrdup("job was cancelled while it ran");
	}
	else if (lease->deadline <= now)
	{
		end->outcome = DELIVERY_RETRY;
		end->timed_out = true;
		end->message = psprintf("job was taken from its worker after its max_duration of %g s",
								(lease->deadline - lease->taken_at) / 1000000.0);
	}
	else
	{
		end->outcome = DELIVERY_LOST;
		end->message = psprintf("worker%s%s was not heard of for the lease of %g s",
								lease->worker[0] != '\0' ? " " : "", lease->worker,
								lease->length / 1000000.0);
	}
}

static void
end_lease(void *arg)
{
	EndingLease *ending = arg;
	const Lease *lease = ending->lease;
	DeliveryEnd end = {0};
	Job			job;

	ending->done = false;
	switch (job_lock_claim(lease->tag.job_id, lease->claim_id, true, &job))
	{
		case JOB_BUSY:
			return;				/* its worker is just ending it, perhaps */
		case JOB_GONE:
			break;
		case JOB_LOCKED:
			job.token = &lease->token;
			set_outcome(lease, ending->now, &end);
			finish_remote(&job, lease->taken_at, &end);
			break;
	}
	ending->done = true;
}

/* End some; returns whether all of them are ended.  An error concerns one only */
static bool
end_leases(EndingLease *endings, int n)
{
	bool		all = true;

	own_transaction_begin();
	for (int i = 0; i < n; i++)
	{
		ErrorData  *error = subtransaction_try(end_lease, &endings[i]);

		if (error != NULL)
		{
			endings[i].done = false;
			if (subtransaction_interrupted(error))
				ReThrowError(error);
			ereport(LOG,
					(errcode(error->sqlerrcode),
					 errmsg("could not end the lease of job " INT64_FORMAT ": %s",
							endings[i].lease->tag.job_id, error->message)));
		}
		all = all && endings[i].done;
	}
	own_transaction_end();
	return all;
}

/* Remove leases that are ended, and keep the others */
static void
settle(const EndingLease *endings, int n)
{
	for (int i = 0; i < n; i++)
	{
		const Lease *lease = endings[i].lease;

		if (endings[i].done)
			lease_remove(MyDatabaseId, lease->tag.job_id, lease->claim_id);
		else
			lease_keep(MyDatabaseId, lease->tag.job_id, lease->claim_id);
	}
}

/* ------------------------------------------------------------------------
 * Claims
 * ------------------------------------------------------------------------ */

static int
compare_claims(const void *a, const void *b)
{
	const int64 x = ((const Lease *) a)->claim_id;
	const int64 y = ((const Lease *) b)->claim_id;

	return x < y ? -1 : x > y;
}

/* Check whether a job has the claim, which shared memory need not know of */
static bool
has_jobs(const ClaimRow *claim)
{
	for (int i = 0; i < claim->njobs; i++)
	{
		Job			job;

		CHECK_FOR_INTERRUPTS();
		if (job_read(claim->jobs[i], &job) && job.claim == claim->id)
			return true;
	}
	return false;
}

/* Delete the claims of outside workers whose jobs have all ended */
static void
delete_claims(void)
{
	List	   *claims;
	ListCell   *cell;
	Lease	   *leases;
	int			n;

	own_transaction_begin();
	claims = claim_rows_read();
	n = leases_copy(MyDatabaseId, &leases); /* after the rows */
	qsort(leases, n, sizeof(Lease), compare_claims);
	foreach(cell, claims)
	{
		ClaimRow   *claim = lfirst(cell);
		Lease		key = {.claim_id = claim->id};

		if (claim->token != NULL && !has_jobs(claim) &&
			bsearch(&key, leases, n, sizeof(Lease), compare_claims) == NULL)
			(void) claim_row_delete_id(claim->id, false);
	}
	own_transaction_end();
}

TimestampTz
leases_end(TimestampTz now)
{
	Lease	   *leases = palloc(END_MAX * sizeof(Lease));
	EndingLease endings[END_MAX] = {0};
	TimestampTz next;
	int			n = leases_take_over(MyDatabaseId, now, leases, END_MAX, &next);
	volatile bool all = true;

	for (int i = 0; i < n; i++)
		endings[i] = (EndingLease) {&leases[i], now, false};
	PG_TRY();
	{
		if (n > 0)
			all = end_leases(endings, n);
	}
	PG_CATCH();
	{
		for (int i = 0; i < n; i++)
			endings[i].done = false;
		settle(endings, n);
		PG_RE_THROW();
	}
	PG_END_TRY();
	settle(endings, n);
	delete_claims();
	return Max(next, all ? now : now + RETRY_DELAY);
}
