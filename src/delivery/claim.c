/*
 * claim.c
 *		Taking deliveries that are due: see inflight.h.
 *
 * As job/claim.c does for workers, of one ready queue at a time.  All that can fail
 * is done before the claim is committed; from then on the jobs belong to this
 * process, and must be in its table.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/guc.h"
#include "base/limits_key.h"
#include "base/own_transaction.h"
#include "shmem/databases.h"
#include "shmem/scheduler_wake.h"
#include "shmem/limits.h"
#include "shmem/ready_queue.h"
#include "table/claim_table.h"
#include "job/batch.h"
#include "job/claim.h"
#include "delivery/inflight.h"

/* Jobs that one claim takes */
#define CLAIM_MAX		200

/* Capacity of limits that was reserved for deliveries that are being claimed */
static LimitScopes reserved;
static int	nreserved = 0;

static bool
reserve(const LimitScopes *scopes)
{
	reserved = *scopes;
	if (!limits_reserve(MyDatabaseId, scopes, LIMITS_ALL))
		return false;
	nreserved++;
	return true;
}

/* Give back what was reserved and is not used; true: the scheduler is to be woken */
static bool
release(int used)
{
	bool		waited = false;

	for (; nreserved > used; nreserved--)
		waited = limits_release(MyDatabaseId, &reserved, LIMITS_ALL) || waited;
	nreserved = 0;
	return waited;
}

void
delivery_claim_abandon(void)
{
	(void) release(0);
}

/* Enter the jobs into the slot, before the claim is committed */
static void
publish(const Batch *batch_of, int *entries)
{
	SenderSlot *slot = inflight.slot;
	TimestampTz now = GetCurrentTimestamp();
	int			entry = 0;

	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	for (int i = 0; i < batch_of->njobs; i++)
	{
		while (slot->entries[entry].job_id != 0)
			entry++;
		slot->entries[entry].job_id = batch_of->jobs[i].job.id;
		slot->entries[entry].claim_id = batch_of->claim_id;
		slot->entries[entry].owner = batch_of->jobs[i].job.owner;
		slot->entries[entry].started_at = now;
		slot->entries[entry].cancel = false;
		slot->nentries = Max(slot->nentries, entry + 1);
		entries[i] = entry;
	}
	LWLockRelease(slot->lock);
}

static void
unpublish(const int *entries, int n)
{
	SenderSlot *slot = inflight.slot;

	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	for (int i = 0; i < n; i++)
		slot->entries[entries[i]].job_id = 0;
	LWLockRelease(slot->lock);
}

/* Insert the row of defer.claim; in a transaction */
static void
write_claim(const Batch *batch_of, CachedTid *place)
{
	int64		ids[BATCH_MAX];
	const ClaimRow row = {batch_of->claim_id, GetCurrentTimestamp(), batch_of->njobs, ids};

	for (int i = 0; i < batch_of->njobs; i++)
		ids[i] = batch_of->jobs[i].job.id;
	claim_row_insert(&row, place);
}

/* Returns the batch that claims fill, empty */
static Batch *
empty_batch(void)
{
	static Batch *fresh = NULL;

	if (fresh == NULL)
	{
		fresh = MemoryContextAllocZero(TopMemoryContext, sizeof(Batch));
		fresh->context = AllocSetContextCreate(TopMemoryContext, "defer claim",
											   ALLOCSET_DEFAULT_SIZES);
	}
	MemoryContextReset(fresh->context);
	fresh->njobs = fresh->ngroups = 0;
	fresh->bytes = 0;
	return fresh;
}

/* How many jobs of that queue to take at most */
static int
claim_size(const ReadyQueueChoice *choice)
{
	const int	share = inflight_share(choice->owner, LIMITS_KEY_IS_MAIL(choice->limits_key));
	const int	max = Max(Min(Min(share, choice->share), CLAIM_MAX), 1);

	if (!LIMITS_KEY_HAS_LIMITS(choice->limits_key))
		return max;
	/* ready_queue_choose_delivery() has reserved capacity for the first */
	while (1 + nreserved < max && reserve(&choice->scopes))
		continue;
	return 1 + nreserved;
}

/*
 * Check whether the role has a share left.  Called under a lock, for each
 * queue that is due
 */
static bool
may_take(Oid role, bool mails)
{
	return inflight_share(role, mails) > 0;
}

bool
delivery_claim(TimestampTz *next_check)
{
	const TimestampTz now = GetCurrentTimestamp();
	int			entries[BATCH_MAX];
	Delivery   *prepared[BATCH_MAX];
	ReadyClaim *ready;
	ReadyQueueChoice *choice;
	DeliveryClaim *claim;
	Batch	   *fresh;
	volatile int published = 0;
	bool		waited;
	int			max;

	if (inflight_full() || !defer_enabled ||
		(ready = ready_queue_choose_delivery(MyDatabaseId, may_take, now, next_check)) == NULL)
		return false;
	fresh = empty_batch();
	choice = &ready->queues[0];
	max = claim_size(choice);
	claim = MemoryContextAllocZero(TopMemoryContext, sizeof(DeliveryClaim));

	PG_TRY();
	{
		own_transaction_begin();
		own_transaction_wait_briefly();
		fresh->claim_id = nextval_internal(catalog_oid(CAT_CLAIM_ID_SEQ), false);
		claim_ready_queue(fresh, choice, max, now);
		if (fresh->njobs > 0)
		{
			MemoryContext context = MemoryContextSwitchTo(fresh->context);

			claim->id = fresh->claim_id;
			write_claim(fresh, &claim->place);
			for (int i = 0; i < fresh->njobs; i++)
				prepared[i] = inflight_prepare(&fresh->jobs[i].job);
			publish(fresh, entries);
			published = fresh->njobs;
			ForceSyncCommit();
			MemoryContextSwitchTo(context);
		}
		own_transaction_end();
	}
	PG_CATCH();
	{
		unpublish(entries, published);
		(void) release(0);
		ready_queue_scan_abort(ready, MyDatabaseId);
		pfree(claim);
		PG_RE_THROW();
	}
	PG_END_TRY();

	/* in this order: an unused share must not look as if it were taken */
	waited = release(Max(fresh->njobs - 1, 0));
	/* claims of others, meanwhile, have found no capacity */
	waited = ready_queue_scan_end(ready, MyDatabaseId, now) || waited;
	for (int i = 0; i < fresh->njobs; i++)
	{
		prepared[i]->waits = choice->planned > 0;
		inflight_add(entries[i], prepared[i], claim);
	}
	if (fresh->njobs == 0)
		pfree(claim);
	/* as batch_claim() does */
	if ((choice->next.run_at > now && choice->next.run_at < my_database->next_wake) ||
		ready->next_token < my_database->next_wake ||
		(fresh->njobs > 0 && limits_cancel_at_limit(MyDatabaseId, &choice->scopes)) ||
		waited)
		database_wake_scheduler(MyDatabaseId);
	return fresh->njobs > 0;
}
