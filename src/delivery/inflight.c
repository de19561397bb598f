/*
 * inflight.c
 *		The deliveries that the sender has in flight: see inflight.h.
 *
 * Each role has a share of what can be in flight, and of the threads of e-mails:
 * see pure/fair_share.h.  Peers that hang, however many, hold up deliveries of
 * those roles only that send to them.
 *
 * A lookup of a name cannot be broken off: when the time of its delivery is over
 * its thread is left behind, and counts as a delivery until it has ended.  Else
 * short time-outs, and a name server that does not answer, would make threads
 * without end.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "pure/fair_share.h"
#include "base/guc_delivery.h"
#include "base/job.h"
#include "base/job_kind.h"
#include "base/own_transaction.h"
#include "base/timer.h"
#include "config/limits_load.h"
#include "shmem/scheduler_wake.h"
#include "shmem/limits.h"
#include "delivery/inflight.h"

/* A delivery that has no token is tried again after this, at least (microseconds) */
#define TOKEN_WAIT	(10 * 1000)

Inflight	inflight;

/* ------------------------------------------------------------------------
 * Shares
 * ------------------------------------------------------------------------ */

/* What a role has in flight, with the lookups that it has left behind */
typedef struct RoleUse
{
	Oid			role;
	int			held;
	int			mails;			/* of them */
} RoleUse;

/* Roles that have something, each once; the table can hold no more of them */
static RoleUse uses[2 * TRANSFERS_MAX];
static int	nuses = 0;

/* Returns a role's, NULL: it has nothing */
static RoleUse *
find_use(Oid role)
{
	for (int i = 0; i < nuses; i++)
	{
		if (uses[i].role == role)
			return &uses[i];
	}
	return NULL;
}

/* Add to what a role has, or take from it */
static void
change_use(Oid role, int held, int mails)
{
	RoleUse    *use = find_use(role);

	if (use == NULL)
	{
		use = &uses[nuses++];
		*use = (RoleUse) {role, 0, 0};
	}
	use->held += held;
	use->mails += mails;
	Assert(use->held >= 0 && use->mails >= 0);
	if (use->held == 0)
		*use = uses[--nuses];
}

bool
inflight_full(void)
{
	return inflight.ndeliveries + inflight.nlookups >= inflight.capacity;
}

int
inflight_share(Oid role, bool mails)
{
	const RoleUse *use = find_use(role);
	int			share = fair_share(inflight.capacity, inflight.ndeliveries + inflight.nlookups,
								   use != NULL ? use->held : 0);

	if (mails)
		share = Min(share, fair_share(TRANSPORT_MAILS_MAX, inflight.nmails,
									  use != NULL ? use->mails : 0));
	return share;
}

/* ------------------------------------------------------------------------
 * The table
 * ------------------------------------------------------------------------ */

static text *
copy_text(const text *value)
{
	return value == NULL ? NULL : (text *) memcpy(palloc(VARSIZE_ANY(value)), value,
												  VARSIZE_ANY(value));
}

static Jsonb *
copy_json(const Jsonb *value)
{
	return (Jsonb *) copy_text((const text *) value);
}

Delivery *
inflight_prepare(const Job *job)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "defer delivery",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Delivery   *delivery = palloc0(sizeof(Delivery));

	delivery->context = context;
	delivery->job = *job;
	delivery->job.function = copy_text(job->function);
	delivery->job.queue = copy_text(job->queue);
	delivery->job.args = copy_json(job->args);
	delivery->job.key = copy_text(job->key);
	delivery->job.metadata = copy_json(job->metadata);
	delivery->job.options = copy_json(job->options);
	delivery->job.sqlstate = copy_text(job->sqlstate);
	delivery->job.error = copy_text(job->error);
	delivery->started_at = GetCurrentTimestamp();
	MemoryContextSwitchTo(old);
	return delivery;
}

void
inflight_add(int entry, Delivery *delivery, DeliveryClaim *claim)
{
	MemoryContextSetParent(delivery->context, TopMemoryContext);
	delivery->claim = claim;
	claim->left++;
	inflight.deliveries[entry] = delivery;
	inflight.ndeliveries++;
	if (delivery->job.kind == JOB_EMAIL)
		inflight.nmails++;
	change_use(delivery->job.owner, 1, delivery->job.kind == JOB_EMAIL ? 1 : 0);
}

void
inflight_forget(int entry)
{
	Delivery   *delivery = inflight.deliveries[entry];
	SenderSlot *slot = inflight.slot;

	if (--delivery->claim->left == 0)
		pfree(delivery->claim);
	if (delivery->transfer != NULL)
		inflight.transport->destroy(delivery->transfer);
	if (delivery->waits && rates_without_token(MyDatabaseId, &delivery->job.scopes, 1))
		database_wake_scheduler(MyDatabaseId);
	if (limits_release(MyDatabaseId, &delivery->job.scopes, LIMITS_ALL))
		database_wake_scheduler(MyDatabaseId);	/* workers may wait for the
												 * capacity, too */
	if (delivery->ended)
		inflight.nended--;
	if (delivery->job.kind == JOB_EMAIL)
		inflight.nmails--;
	change_use(delivery->job.owner, -1, delivery->job.kind == JOB_EMAIL ? -1 : 0);
	MemoryContextDelete(delivery->context);
	inflight.deliveries[entry] = NULL;
	inflight.ndeliveries--;
	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	slot->entries[entry].job_id = 0;
	while (slot->nentries > 0 && slot->entries[slot->nentries - 1].job_id == 0)
		slot->nentries--;
	LWLockRelease(slot->lock);
}

/* ------------------------------------------------------------------------
 * Beginning
 * ------------------------------------------------------------------------ */

/*
 * Get a delivery what its rates ask for; in a transaction, which is flushed if that is
 * to be remembered.  False: it is put off.
 */
static bool
take_token(Delivery *delivery)
{
	Token		token;

	switch (rates_take_token(MyDatabaseId, &delivery->job.scopes, delivery->waits, &token))
	{
		case TOKEN_LATER:
			delivery->end.outcome = DELIVERY_PUT_OFF;
			delivery->end.wait = Max(token.at - monotonic_now(), TOKEN_WAIT);
			return false;
		case TOKEN_TAKEN:
			delivery->begin_at = token.at;
			delivery->started_at = token.started_at;
			break;
		case TOKEN_NOT_NEEDED:
			break;
	}
	delivery->waits = false;
	if (token.waited)
		database_wake_scheduler(MyDatabaseId);
	if (token.nused > 0)
	{
		limits_write_used_here(token.used, token.nused);
		ForceSyncCommit();
	}
	return true;
}

/* Make the transfer; in a transaction */
static void
prepare_transfer(Delivery *delivery)
{
	MemoryContext context = MemoryContextSwitchTo(delivery->context);
	TransferRequest request;

	delivery->started_at = GetCurrentTimestamp();
	if (delivery_prepare(&delivery->job, &delivery->endpoint, &request, &delivery->end) &&
		take_token(delivery))
	{
		delivery->transfer = inflight.transport->create(&request);
		if (delivery->transfer == NULL)
		{
			delivery->end.outcome = DELIVERY_PUT_OFF;
			delivery->end.wait = USECS_PER_SEC;
		}
	}
	if (delivery->transfer != NULL)
		inflight.ndelayed++;
	else
	{
		delivery->classified = delivery->ended = true;
		inflight.nended++;
	}
	MemoryContextSwitchTo(context);
}

void
inflight_prepare_all(void)
{
	MemoryContext context = CurrentMemoryContext;

	own_transaction_begin();
	for (int i = 0; i < TRANSFERS_MAX; i++)
	{
		Delivery   *delivery = inflight.deliveries[i];

		if (delivery == NULL || delivery->transfer != NULL || delivery->ended)
			continue;
		PG_TRY();
		{
			prepare_transfer(delivery);
		}
		PG_CATCH();
		{
			ErrorData  *error;

			MemoryContextSwitchTo(delivery->context);
			error = CopyErrorData();
			FlushErrorState();
			AbortOutOfAnyTransaction();
			MemoryContextSwitchTo(context);
			inflight_end(delivery, DELIVERY_RETRY, error->sqlerrcode, error->message);
			own_transaction_begin();
		}
		PG_END_TRY();
	}
	own_transaction_end();
}

void
inflight_begin(TimestampTz *next_check)
{
	const int64 now = monotonic_now();

	if (inflight.ndelayed == 0)
		return;
	inflight.ndelayed = 0;
	for (int i = 0; i < TRANSFERS_MAX; i++)
	{
		Delivery   *delivery = inflight.deliveries[i];

		if (delivery == NULL || delivery->transfer == NULL || delivery->ended || delivery->started)
			continue;
		if (delivery->begin_at > now)
		{
			inflight.ndelayed++;
			*next_check = Min(*next_check, GetCurrentTimestamp() + (delivery->begin_at - now));
			continue;
		}
		delivery->started = inflight.transport->start(delivery->transfer, i);
		if (!delivery->started)
			inflight_end(delivery, DELIVERY_RETRY, ERRCODE_DELIVERY_NETWORK,
						 inflight.transport->result(delivery->transfer)->error);
	}
}

/* ------------------------------------------------------------------------
 * Ending
 * ------------------------------------------------------------------------ */

/* Remember that the lookup goes on, if it does, though the delivery ends */
static void
leave_lookup(const Delivery *delivery)
{
	if (delivery->transfer == NULL || inflight.nlookups == TRANSFERS_MAX ||
		!inflight.transport->leaves_lookup(delivery->transfer))
		return;
	inflight.lookups[inflight.nlookups++] = delivery->job.owner;
	change_use(delivery->job.owner, 1, 0);
}

/*
 * Forget lookups that have ended.  Which ones these are is not known: the oldest are
 * taken.  Those of deliveries in flight may hide some for a while.
 */
static void
forget_lookups(void)
{
	int			ended;

	if (inflight.nlookups == 0)
		return;
	ended = inflight.nlookups - Min(inflight.transport->lookups(), inflight.nlookups);
	for (int i = 0; i < ended; i++)
		change_use(inflight.lookups[i], -1, 0);
	inflight.nlookups -= ended;
	memmove(inflight.lookups, inflight.lookups + ended, inflight.nlookups * sizeof(Oid));
}

void
inflight_end(Delivery *delivery, DeliveryOutcome outcome, int sqlerrcode, const char *message)
{
	memset(&delivery->end, 0, sizeof(DeliveryEnd));
	delivery->end.outcome = outcome;
	delivery->end.wait = -1;
	delivery->end.sqlerrcode = sqlerrcode;
	delivery->end.message = MemoryContextStrdup(delivery->context, message);
	delivery->classified = delivery->internal = true;
	if (!delivery->ended)
	{
		delivery->ended = true;
		inflight.nended++;
	}
}

/* End the transfers of jobs that defer.cancel(force => true) was called for */
static void
collect_cancelled(void)
{
	static bool cancel[TRANSFERS_MAX];
	SenderSlot *slot = inflight.slot;
	int			n;
	bool		any = false;

	if (inflight.ndeliveries == 0)
		return;
	LWLockAcquire(slot->lock, LW_EXCLUSIVE);
	n = slot->nentries;
	for (int i = 0; i < n; i++)
	{
		cancel[i] = slot->entries[i].cancel;
		any = any || cancel[i];
	}
	LWLockRelease(slot->lock);
	for (int i = 0; any && i < n; i++)
	{
		Delivery   *delivery = inflight.deliveries[i];

		if (!cancel[i] || delivery == NULL || delivery->ended)
			continue;
		leave_lookup(delivery);
		if (delivery->transfer != NULL)
			inflight.transport->destroy(delivery->transfer);
		delivery->transfer = NULL;
		inflight_end(delivery, DELIVERY_CANCELLED, ERRCODE_QUERY_CANCELED,
					 "job was cancelled while it ran");
	}
}

void
inflight_collect(void)
{
	int			entry;

	while (inflight.transport->ended(&entry) != NULL)
	{
		Delivery   *delivery = inflight.deliveries[entry];

		leave_lookup(delivery);
		if (!delivery->ended)
		{
			delivery->ended = true;
			inflight.nended++;
		}
	}
	collect_cancelled();
	forget_lookups();
}
