/*
 * sender.c
 *		The process that sends deliveries: one a database, while there are any.
 *
 * It claims deliveries of all roles, has many of them under way at the same
 * time, and writes down what came of those that have ended, many in one
 * transaction.  No transaction is open while it waits for the network.  A
 * delivery is at least once: if the process or the server goes in the middle
 * of one, nobody knows whether it has arrived, and it is sent again under the
 * same key.
 *
 * A lookup of a name cannot be broken off: when the delivery's time is over its
 * thread is left behind, and counts as a delivery until it has ended.  Else short
 * time-outs, and a name server that does not answer, would make threads without
 * end.
 *
 * Each claim has its row in defer.claim until the last of its jobs has ended.
 * Recovery finds it if nobody is left to settle it.
 */
#include "postgres.h"

#include <sys/resource.h>

#include "access/xact.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/guc.h"
#include "base/guc_delivery.h"
#include "base/job_kind.h"
#include "base/limits_key.h"
#include "base/own_transaction.h"
#include "base/wait_events.h"
#include "shmem/databases.h"
#include "shmem/limits.h"
#include "shmem/ready_queue.h"
#include "shmem/senders.h"
#include "shmem/shmem.h"
#include "shmem/workers.h"
#include "table/job_table.h"
#include "job/batch.h"
#include "table/claim_table.h"
#include "delivery/delivery.h"
#include "delivery/transfer.h"
#include "process/process.h"

/* Jobs that one claim takes, and ends that one transaction writes */
#define CLAIM_MAX		200
#define RECORD_MAX		200

/* E-mails that are taken: those that have threads, and as many that wait for one */
#define MAILS_MAX		64

/* Waits (milliseconds): for a row that somebody holds, a lookup, after an error of our own */
#define BUSY_WAIT		20
#define LOOKUP_WAIT		100
#define ERROR_WAIT		1000

/* Open files that are not for transfers */
#define OTHER_FILES		100

/* A claim: its row in defer.claim */
typedef struct Claim
{
	int64		id;
	CachedTid	place;			/* of it */
	int			left;			/* deliveries of it that are under way */
	int			ending;			/* of these, by the transaction that is open */
} Claim;

/* One delivery that is under way */
typedef struct Delivery
{
	MemoryContext context;		/* of all that belongs to it */
	Claim	   *claim;
	Job			job;
	TimestampTz started_at;
	Endpoint   *endpoint;		/* that it is sent with; NULL: none */
	Transfer   *transfer;		/* NULL: not begun, or could not be */
	bool		ended;			/* the network is done with it */
	bool		judged;			/* "end" holds */
	bool		given;			/* and is one that we gave it ourselves */
	bool		cancelled;
	bool		recorded;		/* in the transaction that is under way */
	int			code;			/* libcurl's */
	DeliveryEnd end;
} Delivery;

static SenderSlot *my_sender = NULL;

/* By their entry in the slot */
static Delivery *deliveries[TRANSFERS_MAX];
static int	ndeliveries = 0;
static int	nmails = 0;			/* of them */
static int	nended = 0;
static int	capacity;

/* Roles whose deliveries have left lookups behind, the oldest first */
static Oid	left_behind[TRANSFERS_MAX];
static int	nleft_behind = 0;

/* Recording goes round: where it begins, and how many ends are still written one by one */
static int	record_next = 0;
static int	record_alone = 0;	/* after an error */

/* Room that was reserved in a ready queue for deliveries that are being claimed */
static int64 capacity_limits_key;
static int	room = 0;

/* ------------------------------------------------------------------------
 * Deliveries
 * ------------------------------------------------------------------------ */

static text *
copy_text(const text *value)
{
	return value == NULL ? NULL : (text *) memcpy(palloc(VARSIZE_ANY(value)), value, VARSIZE_ANY(value));
}

static Jsonb *
copy_json(const Jsonb *value)
{
	return (Jsonb *) copy_text((const text *) value);
}

static Delivery *
delivery_new(const Job *job, Claim *claim)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "defer delivery",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Delivery   *delivery = palloc0(sizeof(Delivery));

	delivery->context = context;
	delivery->claim = claim;
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

static void
delivery_ended(Delivery *delivery, int code)
{
	if (delivery->ended)
		return;
	delivery->ended = true;
	delivery->code = code;
	nended++;
}

/* It is over and written down: the entry is free */
static void
delivery_forget(int entry)
{
	Delivery   *delivery = deliveries[entry];

	if (--delivery->claim->left == 0)
		pfree(delivery->claim);
	transfer_free(delivery->transfer);
	limits_release(MyDatabaseId, delivery->job.limits_key);
	if (LIMITS_KEY_HAS_LIMITS(delivery->job.limits_key))
		wake_scheduler(MyDatabaseId);	/* workers may wait for the room, too */
	if (delivery->ended)
		nended--;
	if (delivery->job.kind == JOB_EMAIL)
		nmails--;
	MemoryContextDelete(delivery->context);
	deliveries[entry] = NULL;
	ndeliveries--;
	LWLockAcquire(my_sender->lock, LW_EXCLUSIVE);
	my_sender->entries[entry].job_id = 0;
	while (my_sender->nentries > 0 && my_sender->entries[my_sender->nentries - 1].job_id == 0)
		my_sender->nentries--;
	LWLockRelease(my_sender->lock);
}

/* It ends, or is freed, and its lookup may go on without it */
static void
leave_lookup(const Delivery *delivery, CURLcode code)
{
	if (delivery->transfer != NULL && transfer_leaves_lookup(delivery->transfer, code) &&
		nleft_behind < TRANSFERS_MAX)
		left_behind[nleft_behind++] = delivery->job.owner;
}

/*
 * Forget those that have ended.  Which ones is not known: the oldest.  Lookups of
 * deliveries that are under way may hide some for a while.
 */
static void
forget_lookups(void)
{
	int			ended;

	if (nleft_behind == 0)
		return;
	ended = nleft_behind - Min(transfers_lookups(), nleft_behind);
	nleft_behind -= ended;
	memmove(left_behind, left_behind + ended, nleft_behind * sizeof(Oid));
}

/* An end that we give it ourselves */
static void
delivery_give_end(Delivery *delivery, DeliveryOutcome outcome, int sqlerrcode, const char *message)
{
	memset(&delivery->end, 0, sizeof(DeliveryEnd));
	delivery->end.outcome = outcome;
	delivery->end.wait = -1;
	delivery->end.sqlerrcode = sqlerrcode;
	delivery->end.message = MemoryContextStrdup(delivery->context, message);
	delivery->judged = delivery->given = true;
	delivery_ended(delivery, 0);
}

/* ------------------------------------------------------------------------
 * Claiming
 * ------------------------------------------------------------------------ */

/* How many of a role are under way, with the lookups that were left behind */
static int
under_way_of(Oid role)
{
	int			n = 0;

	for (int i = 0; i < TRANSFERS_MAX && ndeliveries > 0; i++)
	{
		if (deliveries[i] != NULL && deliveries[i]->job.owner == role)
			n++;
	}
	for (int i = 0; i < nleft_behind; i++)
	{
		if (left_behind[i] == role)
			n++;
	}
	return n;
}

/* Reserve room for one more; false: there is none */
static bool
room_reserve(int64 limits_key)
{
	capacity_limits_key = limits_key;
	if (!limits_reserve(MyDatabaseId, limits_key))
		return false;
	room++;
	return true;
}

/* Give back what was reserved and is not used */
static void
room_release(int used)
{
	for (; room > used; room--)
		limits_release(MyDatabaseId, capacity_limits_key);
	room = 0;
}

/* Roles that have as many under way as one may have */
static int
full_roles(Oid *roles)
{
	int			most = Max(capacity / 4 * 3, 1);

	if (ndeliveries + nleft_behind < most)
		return 0;
	for (int i = 0; i < TRANSFERS_MAX + nleft_behind; i++)
	{
		Oid			role = i >= TRANSFERS_MAX ? left_behind[i - TRANSFERS_MAX] :
			deliveries[i] != NULL ? deliveries[i]->job.owner : InvalidOid;

		if (OidIsValid(role) && under_way_of(role) >= most)
		{
			roles[0] = role;
			return 1;
		}
	}
	return 0;
}

/* How many more of that role may be taken */
static int
room_for(Oid role)
{
	int			most = Max(capacity / 4 * 3, 1);

	return Min(Min(most - under_way_of(role), capacity - ndeliveries - nleft_behind), CLAIM_MAX);
}

/* Enter the jobs into the slot, before the claim is committed */
static void
publish(const Batch *batch_of, int *entries)
{
	TimestampTz now = GetCurrentTimestamp();
	int			entry = 0;

	LWLockAcquire(my_sender->lock, LW_EXCLUSIVE);
	for (int i = 0; i < batch_of->njobs; i++)
	{
		while (my_sender->entries[entry].job_id != 0)
			entry++;
		my_sender->entries[entry].job_id = batch_of->jobs[i].job.id;
		my_sender->entries[entry].claim_id = batch_of->claim_id;
		my_sender->entries[entry].owner = batch_of->jobs[i].job.owner;
		my_sender->entries[entry].started_at = now;
		my_sender->entries[entry].cancel = false;
		my_sender->nentries = Max(my_sender->nentries, entry + 1);
		entries[i] = entry;
	}
	LWLockRelease(my_sender->lock);
}

static void
unpublish(const int *entries, int n)
{
	LWLockAcquire(my_sender->lock, LW_EXCLUSIVE);
	for (int i = 0; i < n; i++)
		my_sender->entries[entries[i]].job_id = 0;
	LWLockRelease(my_sender->lock);
}

/* The row of defer.claim; in a transaction */
static void
write_claim(const Batch *batch_of, CachedTid *place)
{
	int64		ids[BATCH_MAX];
	const ClaimRow row = {batch_of->claim_id, GetCurrentTimestamp(), batch_of->njobs, ids};

	for (int i = 0; i < batch_of->njobs; i++)
		ids[i] = batch_of->jobs[i].job.id;
	claim_row_insert(&row, place);
}

/* Take what is due, of one ready queue.  False: there is nothing, or no room for it */
static bool
claim_some(TimestampTz *look_again)
{
	static Batch *fresh = NULL;
	const TimestampTz now = GetCurrentTimestamp();
	int			entries[BATCH_MAX];
	Oid			full[1];
	ReadyQueueChoice choice;
	ReadyKey	next = READY_KEY_NONE;
	bool		pause_after = true;
	CachedTid	place = {0};
	Claim	   *claim;
	volatile int published = 0;
	bool		unused;
	int			max;

	if (ndeliveries + nleft_behind >= capacity || !defer_enabled ||
		!ready_queue_choose_delivery(MyDatabaseId, nmails < MAILS_MAX, full, full_roles(full), now, &choice, look_again))
		return false;
	if (fresh == NULL)
	{
		fresh = MemoryContextAllocZero(TopMemoryContext, sizeof(Batch));
		fresh->context = AllocSetContextCreate(TopMemoryContext, "defer claim",
											   ALLOCSET_DEFAULT_SIZES);
	}
	MemoryContextReset(fresh->context);
	fresh->njobs = 0;
	max = Max(room_for(choice.owner), 1);
	if (LIMITS_KEY_IS_MAIL(choice.limits_key))
		max = Min(max, MAILS_MAX - nmails);
	if (LIMITS_KEY_HAS_LIMITS(choice.limits_key))
	{
		/* ready_queue_choose_delivery() has reserved room for the first */
		while (1 + room < max && room_reserve(choice.limits_key))
			continue;
		max = 1 + room;
	}

	PG_TRY();
	{
		own_transaction_begin();
		fresh->claim_id = nextval_internal(catalog_oid(CAT_CLAIM_ID_SEQ), false);
		fresh->limits_key = choice.limits_key;
		next = claim_ready_queue(fresh, &choice, max, now, &pause_after);
		if (fresh->njobs > 0)
		{
			write_claim(fresh, &place);
			publish(fresh, entries);
			published = fresh->njobs;
			ForceSyncCommit();
		}
		own_transaction_end();
	}
	PG_CATCH();
	{
		unpublish(entries, published);
		room_release(0);
		ready_queue_scan_abort(&choice, MyDatabaseId);
		PG_RE_THROW();
	}
	PG_END_TRY();

	/* who has come meanwhile saw no room */
	unused = LIMITS_KEY_HAS_LIMITS(choice.limits_key) && room + 1 > fresh->njobs;

	/* in this order: what we do not use must not look as if it were taken */
	room_release(Max(fresh->njobs - 1, 0));
	ready_queue_scan_end(&choice, MyDatabaseId, next, fresh->njobs, pause_after ? now : DT_NOBEGIN);
	if (fresh->njobs > 0)
	{
		claim = MemoryContextAllocZero(TopMemoryContext, sizeof(Claim));
		claim->id = fresh->claim_id;
		claim->place = place;
		claim->left = fresh->njobs;
		for (int i = 0; i < fresh->njobs; i++)
		{
			deliveries[entries[i]] = delivery_new(&fresh->jobs[i].job, claim);
			if (fresh->jobs[i].job.kind == JOB_EMAIL)
				nmails++;
		}
		ndeliveries += fresh->njobs;
	}
	/* as batch_claim() does */
	if ((next.run_at > now && next.run_at < my_database->next_wake) ||
		(fresh->njobs > 0 && limits_cancel_at_limit(MyDatabaseId, choice.limits_key)) ||
		unused)
		wake_scheduler(MyDatabaseId);
	return fresh->njobs > 0;
}

/* ------------------------------------------------------------------------
 * Beginning
 * ------------------------------------------------------------------------ */

/* Make and start the transfer; in a transaction */
static void
begin_delivery(Delivery *delivery, int entry)
{
	MemoryContext context = MemoryContextSwitchTo(delivery->context);

	delivery->started_at = GetCurrentTimestamp();
	delivery->transfer = delivery_prepare(&delivery->job, &delivery->endpoint, &delivery->end);
	if (delivery->transfer == NULL)
	{
		delivery->judged = true;
		delivery_ended(delivery, 0);
	}
	else
		delivery->transfer->entry = entry;
	MemoryContextSwitchTo(context);
}

/*
 * Begin all that were claimed.  One that raises an error, whatever that is,
 * ends with it, and the rest goes on.
 */
static void
begin_deliveries(void)
{
	MemoryContext context = CurrentMemoryContext;

	own_transaction_begin();
	for (int i = 0; i < TRANSFERS_MAX; i++)
	{
		Delivery   *delivery = deliveries[i];

		if (delivery == NULL || delivery->transfer != NULL || delivery->ended)
			continue;
		PG_TRY();
		{
			begin_delivery(delivery, i);
		}
		PG_CATCH();
		{
			ErrorData  *error;

			MemoryContextSwitchTo(delivery->context);
			error = CopyErrorData();
			FlushErrorState();
			AbortOutOfAnyTransaction();
			MemoryContextSwitchTo(context);
			delivery_give_end(delivery, DELIVERY_RETRY, error->sqlerrcode, error->message);
			own_transaction_begin();
		}
		PG_END_TRY();
	}
	own_transaction_end();

	/* and only now, with no transaction open, to the network */
	for (int i = 0; i < TRANSFERS_MAX; i++)
	{
		Delivery   *delivery = deliveries[i];

		if (delivery == NULL || delivery->transfer == NULL || delivery->ended ||
			delivery->transfer->running)
			continue;
		if (!transfer_start(delivery->transfer))
			delivery_give_end(delivery, DELIVERY_RETRY, ERRCODE_DELIVERY_NETWORK,
							  delivery->transfer->error);
	}
}

/* ------------------------------------------------------------------------
 * Ending
 * ------------------------------------------------------------------------ */

static void
collect_ended(void)
{
	Transfer   *transfer;
	CURLcode	code;

	while ((transfer = transfers_ended(&code)) != NULL)
	{
		leave_lookup(deliveries[transfer->entry], code);
		delivery_ended(deliveries[transfer->entry], code);
	}
}

/* Those that defer.cancel(force => true) was called for */
static void
collect_cancelled(void)
{
	static bool cancel[TRANSFERS_MAX];
	int			n;
	bool		any = false;

	if (ndeliveries == 0)
		return;
	LWLockAcquire(my_sender->lock, LW_EXCLUSIVE);
	n = my_sender->nentries;
	for (int i = 0; i < n; i++)
	{
		cancel[i] = my_sender->entries[i].cancel;
		any = any || cancel[i];
	}
	LWLockRelease(my_sender->lock);
	for (int i = 0; any && i < n; i++)
	{
		Delivery   *delivery = deliveries[i];

		if (!cancel[i] || delivery == NULL || delivery->ended)
			continue;
		leave_lookup(delivery, CURLE_ABORTED_BY_CALLBACK);
		transfer_free(delivery->transfer);
		delivery->transfer = NULL;
		delivery_give_end(delivery, DELIVERY_CANCELLED, ERRCODE_QUERY_CANCELED,
						  "job was cancelled while it ran");
	}
}

static void
begin_record(void)
{
	for (int i = 0; i < TRANSFERS_MAX; i++)
	{
		if (deliveries[i] != NULL)
		{
			deliveries[i]->recorded = false;
			deliveries[i]->claim->ending = 0;
		}
	}
}

/* In a transaction */
static void
record(Delivery *delivery)
{
	if (!delivery->judged)
	{
		/* once, however often it is written in vain */
		MemoryContext context = MemoryContextSwitchTo(delivery->context);

		delivery_judge(&delivery->job, delivery->endpoint, delivery->transfer, delivery->code, &delivery->end);
		MemoryContextSwitchTo(context);
		delivery->judged = true;
	}
	delivery->recorded = finish_delivery(&delivery->job, delivery->started_at, &delivery->end);
	if (delivery->recorded && ++delivery->claim->ending == delivery->claim->left)
		claim_row_delete(delivery->claim->id, &delivery->claim->place);
}

/* An error that has nothing to do with what was to be written: it may work later */
static bool
may_be_written_later(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case MAKE_SQLSTATE('4', '0', '0', '0', '0'):	/* transaction rollback */
		case MAKE_SQLSTATE('5', '3', '0', '0', '0'):	/* insufficient
														 * resources */
		case MAKE_SQLSTATE('5', '5', '0', '0', '0'):	/* a lock, for one */
		case MAKE_SQLSTATE('5', '7', '0', '0', '0'):	/* operator intervention */
		case MAKE_SQLSTATE('5', '8', '0', '0', '0'):	/* system error */
			return true;
		default:
			return false;
	}
}

/*
 * Write the ends, as many as one transaction takes; the next call goes on
 * behind them.  False: some rows are held by others.  If it fails all of them
 * are tried one at a time, so that one that cannot be written holds up no
 * other; such a one ends with that error instead.
 */
static bool
record_ended(void)
{
	MemoryContext context = CurrentMemoryContext;
	volatile int last = -1;
	volatile bool failed = false;
	volatile bool busy = false;
	const volatile int most = record_alone > 0 ? 1 : RECORD_MAX;
	const int	first = record_next;
	volatile int tried = 0;

	begin_record();
	PG_TRY();
	{
		own_transaction_begin();
		for (int i = 0; i < TRANSFERS_MAX && tried < most; i++)
		{
			int			entry = (first + i) % TRANSFERS_MAX;
			Delivery   *delivery = deliveries[entry];

			if (delivery == NULL || !delivery->ended)
				continue;
			last = entry;
			record_next = (entry + 1) % TRANSFERS_MAX;
			record(delivery);
			tried++;
			busy = busy || !delivery->recorded;
		}
		own_transaction_end();
	}
	PG_CATCH();
	{
		ErrorData  *error;
		Delivery   *delivery = last >= 0 ? deliveries[last] : NULL;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		EmitErrorReport();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(context);
		if (most == 1 && delivery != NULL && !delivery->given &&
			!may_be_written_later(error->sqlerrcode))
			delivery_give_end(delivery, DELIVERY_RETRY, error->sqlerrcode, error->message);
		failed = true;
	}
	PG_END_TRY();
	if (failed)
	{
		record_alone = nended;
		if (!extension_is_there())
			proc_exit(EXIT_DONE);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ERROR_WAIT,
						 defer_wait_event(DEFER_WAIT_SENDER_MAIN));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		return true;
	}
	for (int i = 0; i < TRANSFERS_MAX; i++)
	{
		if (deliveries[i] != NULL && deliveries[i]->ended && deliveries[i]->recorded)
			delivery_forget(i);
	}
	record_alone = Max(Min(record_alone - 1, nended), 0);
	return !busy;
}

/* ------------------------------------------------------------------------
 * Coming and going
 * ------------------------------------------------------------------------ */

/* On the way out, while there still is a database connection */
static void
sender_wind_up(int code, Datum arg)
{
	transfers_stop();
	ready_queue_scan_abandon(MyDatabaseId);
	room_release(0);
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(TopMemoryContext);
	if (my_database->database != MyDatabaseId || ndeliveries == 0)
		return;
	if (!extension_is_there())
		return;
	collect_ended();
	begin_record();
	own_transaction_begin();
	if (own_transaction_is_locked())
		return;					/* a wait could not be interrupted: the
								 * scheduler finds the claims */
	for (int i = 0; i < TRANSFERS_MAX; i++)
	{
		Delivery   *delivery = deliveries[i];

		if (delivery == NULL)
			continue;
		if (!delivery->ended)
			delivery_give_end(delivery, DELIVERY_INTERRUPTED, ERRCODE_ADMIN_SHUTDOWN,
							  "the server, or work on the database, has stopped the job");
		record(delivery);
	}
	own_transaction_end();
	for (int i = 0; i < TRANSFERS_MAX; i++)
	{
		if (deliveries[i] != NULL && deliveries[i]->recorded)
			delivery_forget(i);
	}
	pgstat_report_stat(true);
}

static void
sender_detach(int code, Datum arg)
{
	DatabaseSlot *database;

	for (int i = 0; i < TRANSFERS_MAX; i++)
	{
		if (deliveries[i] != NULL)
			limits_release(MyDatabaseId, deliveries[i]->job.limits_key);
	}
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	database = database_slot(my_sender->database, false);
	LWLockAcquire(my_sender->lock, LW_EXCLUSIVE);
	for (int i = 0; i < my_sender->nentries; i++)
		my_sender->entries[i].job_id = 0;
	my_sender->nentries = 0;
	LWLockRelease(my_sender->lock);
	my_sender->pid = 0;
	my_sender->latch = NULL;
	my_sender->database = InvalidOid;
	if (database != NULL)
	{
		if (ndeliveries > 0)
			database->orphans = true;
		wake_scheduler_locked(database);
	}
	LWLockRelease(shared->workers_lock);
}

/* Take the slot that the scheduler has prepared; false: it thinks we never came */
static bool
sender_attach(int index, uint32 generation)
{
	SenderSlot *slot = &sender_slots[index];
	bool		ours = false;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	if (OidIsValid(slot->database) && slot->generation == generation && slot->pid == 0)
	{
		my_database = database_slot(slot->database, false);
		if (my_database != NULL && !my_database->withdrawn)
		{
			ours = true;
			slot->pid = MyProcPid;
			slot->latch = MyLatch;
			slot->since = GetCurrentTimestamp();
			my_sender = slot;
		}
		else
			slot->database = InvalidOid;
	}
	LWLockRelease(shared->workers_lock);
	return ours;
}

/* Nobody may count on us any more; false: there is something to do after all */
static bool
stop_idling(void)
{
	TimestampTz ignored = DT_NOEND;
	ReadyQueueChoice choice;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_sender->pid = 0;			/* whoever enqueues now calls the scheduler */
	LWLockRelease(shared->workers_lock);
	if (!defer_enabled ||
		!ready_queue_choose_delivery(MyDatabaseId, true, NULL, 0, GetCurrentTimestamp(), &choice, &ignored))
		return true;
	ready_queue_scan_abort(&choice, MyDatabaseId);
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	my_sender->pid = MyProcPid;
	LWLockRelease(shared->workers_lock);
	return false;
}

/* ------------------------------------------------------------------------
 * The process
 * ------------------------------------------------------------------------ */

/* As many as the setting says, if the system lets us have so many files open */
static void
set_capacity(void)
{
	struct rlimit limit;

	capacity = Min(defer_max_deliveries, TRANSFERS_MAX);
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < capacity + OTHER_FILES + max_files_per_process)
	{
		limit.rlim_cur = limit.rlim_max == RLIM_INFINITY
			? capacity + OTHER_FILES + max_files_per_process
			: Min(limit.rlim_max, capacity + OTHER_FILES + max_files_per_process);
		(void) setrlimit(RLIMIT_NOFILE, &limit);
		(void) getrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur != RLIM_INFINITY)
		capacity = Min(capacity, Max((int) limit.rlim_cur - 3 * OTHER_FILES, 4));
}

static void
apply_settings(void)
{
	NetworkList allowed = {0};
	char		problem[128];

	if (!networks_parse(defer_http_allow != NULL ? defer_http_allow : "", &allowed, problem,
						sizeof(problem)))
		allowed.n = 0;
	transfers_configure(&allowed, defer_http_ca_file);
	set_capacity();
}

static void
reload_settings(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	apply_settings();
}

static bool
asked_to_leave(void)
{
	return my_database->withdrawn || my_database->database != MyDatabaseId;
}

/* Claim, begin; errors here are our own, and waited out */
static bool
take_work(TimestampTz *look_again)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool took = false;
	volatile bool failed = false;

	PG_TRY();
	{
		took = claim_some(look_again);
	}
	PG_CATCH();
	{
		report_own_error(context);
		failed = true;
	}
	PG_END_TRY();
	if (failed)
	{
		if (!extension_is_there())
			proc_exit(EXIT_DONE);
		*look_again = GetCurrentTimestamp() + ERROR_WAIT * 1000;
	}
	if (took)
		begin_deliveries();
	return took;
}

static long
wait_until(TimestampTz due, TimestampTz now)
{
	return due == DT_NOEND ? -1 : TimestampDifferenceMilliseconds(now, due) + 1;
}

static void
main_loop(MemoryContext scratch)
{
	TimestampTz idle_since = 0;

	for (;;)
	{
		TimestampTz look_again = DT_NOEND;
		TimestampTz now;
		bool		took = false;
		bool		written = true;

		ResetLatch(MyLatch);
		my_sender->called = false;
		CHECK_FOR_INTERRUPTS();
		reload_settings();
		MemoryContextReset(scratch);
		MemoryContextSwitchTo(scratch);
		SetCurrentStatementStartTimestamp();
		collect_ended();
		collect_cancelled();
		forget_lookups();
		if (nended > 0)
			written = record_ended();
		if (asked_to_leave())
		{
			if (ndeliveries == 0)
				return;
		}
		else
			took = take_work(&look_again);
		now = GetCurrentTimestamp();
		if (took || ndeliveries + nleft_behind > 0)
			idle_since = 0;
		else if (idle_since == 0)
			idle_since = now;
		else if (now - idle_since >= (int64) defer_worker_idle_timeout * 1000 && stop_idling())
			return;
		if (took || (nended > 0 && written))
			look_again = now;	/* there may be more */
		if (my_sender->called || ConfigReloadPending)
			look_again = now;	/* a wait for a lock has reset the latch */
		if (!written)
			look_again = Min(look_again, now + BUSY_WAIT * 1000);
		if (nleft_behind > 0)
			look_again = Min(look_again, now + LOOKUP_WAIT * 1000);
		if (idle_since != 0)
			look_again = Min(look_again, idle_since + (int64) defer_worker_idle_timeout * 1000);
		pgstat_report_stat(false);
		transfers_wait(wait_until(look_again, now) - (look_again == now ? 1 : 0));
	}
}

void
defer_sender_main(Datum arg)
{
	int			index = DatumGetInt32(arg);
	MemoryContext scratch;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/* before there is a connection, and detached after it is gone */
	if (!sender_attach(index, process_generation()))
		proc_exit(EXIT_DONE);
	on_shmem_exit(sender_detach, (Datum) 0);
	BackgroundWorkerInitializeConnectionByOid(my_sender->database, InvalidOid, 0);
	before_shmem_exit(sender_wind_up, (Datum) 0);
	pgstat_report_appname("defer sender");
	pgstat_report_activity(STATE_IDLE, NULL);

	/*
	 * a repeated delivery is worse than a wait for the disk; nobody else is
	 * waited for
	 */
	SetConfigOption("synchronous_commit", "local", PGC_USERSET, PGC_S_OVERRIDE);
	transfers_init();
	apply_settings();

	scratch = AllocSetContextCreate(TopMemoryContext, "defer sender", ALLOCSET_DEFAULT_SIZES);
	main_loop(scratch);
	proc_exit(EXIT_DONE);
}
