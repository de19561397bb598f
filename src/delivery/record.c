/*
 * record.c
 *		Writing down how deliveries ended: see inflight.h.
 *
 * Many ends are written in one transaction.  If it fails all of them are tried one
 * at a time, so that one that cannot be written holds up no other; such a one ends
 * with that error instead.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"

#include "base/guc_delivery.h"
#include "base/own_transaction.h"
#include "table/claim_table.h"
#include "job/finish.h"
#include "delivery/inflight.h"

/* Ends that one transaction writes */
#define RECORD_MAX		200

/* Recording goes round: where the next call begins */
static int	next_entry = 0;

/* How many ends are still to be written one by one, after an error */
static int	one_by_one = 0;

static void
begin_recording(void)
{
	for (int i = 0; i < TRANSFERS_MAX; i++)
	{
		if (inflight.deliveries[i] != NULL)
		{
			inflight.deliveries[i]->recorded = false;
			inflight.deliveries[i]->claim->ending = 0;
		}
	}
}

/* Write one; in a transaction */
static void
record(Delivery *delivery)
{
	if (!delivery->classified)
	{
		/* once, however often it is written in vain */
		MemoryContext context = MemoryContextSwitchTo(delivery->context);

		delivery_classify(&delivery->job, delivery->endpoint,
						  inflight.transport->result(delivery->transfer), &delivery->end);
		MemoryContextSwitchTo(context);
		delivery->classified = true;
	}
	delivery->recorded = finish_delivery(&delivery->job, delivery->started_at, &delivery->end);
	if (delivery->recorded && delivery->endpoint != NULL && delivery->end.pause > 0)
		endpoint_pause(delivery->endpoint, delivery->end.pause);
	if (delivery->recorded && ++delivery->claim->ending == delivery->claim->left)
		claim_row_delete(delivery->claim->id, &delivery->claim->place);
}

/* Take those out that were recorded, once that is committed */
static void
forget_recorded(void)
{
	for (int i = 0; i < TRANSFERS_MAX; i++)
	{
		if (inflight.deliveries[i] != NULL && inflight.deliveries[i]->ended &&
			inflight.deliveries[i]->recorded)
			inflight_forget(i);
	}
}

/*
 * Check whether an error has nothing to do with the values to be written, so
 * that writing them may work later
 */
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

RecordOutcome
delivery_record(void)
{
	MemoryContext context = CurrentMemoryContext;
	volatile int last = -1;
	volatile bool failed = false;
	volatile bool busy = false;
	const volatile int max = one_by_one > 0 ? 1 : RECORD_MAX;
	const int	first = next_entry;
	volatile int tried = 0;

	begin_recording();
	PG_TRY();
	{
		own_transaction_begin();
		own_transaction_wait_briefly();
		for (int i = 0; i < TRANSFERS_MAX && tried < max; i++)
		{
			int			entry = (first + i) % TRANSFERS_MAX;
			Delivery   *delivery = inflight.deliveries[entry];

			if (delivery == NULL || !delivery->ended)
				continue;
			last = entry;
			next_entry = (entry + 1) % TRANSFERS_MAX;
			record(delivery);
			tried++;
			busy = busy || !delivery->recorded;
		}
		own_transaction_end();
	}
	PG_CATCH();
	{
		ErrorData  *error;
		Delivery   *delivery = last >= 0 ? inflight.deliveries[last] : NULL;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		EmitErrorReport();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		MemoryContextSwitchTo(context);
		if (max == 1 && delivery != NULL && !delivery->internal &&
			!may_be_written_later(error->sqlerrcode))
			inflight_end(delivery, DELIVERY_RETRY, error->sqlerrcode, error->message);
		failed = true;
	}
	PG_END_TRY();
	if (failed)
	{
		one_by_one = inflight.nended;
		return RECORD_FAILED;
	}
	forget_recorded();
	one_by_one = Max(Min(one_by_one - 1, inflight.nended), 0);
	return busy ? RECORD_BUSY : RECORD_DONE;
}

void
delivery_record_all(const char *message)
{
	if (inflight.ndeliveries == 0 || !own_transaction_extension_exists())
		return;
	inflight_collect();
	begin_recording();
	own_transaction_begin();
	if (own_transaction_is_locked())
		return;					/* a wait could not be interrupted: recovery
								 * finds the claims */
	for (int i = 0; i < TRANSFERS_MAX; i++)
	{
		Delivery   *delivery = inflight.deliveries[i];

		if (delivery == NULL)
			continue;
		if (!delivery->ended)
			inflight_end(delivery, DELIVERY_INTERRUPTED, ERRCODE_ADMIN_SHUTDOWN, message);
		record(delivery);
	}
	own_transaction_end();
	forget_recorded();
	pgstat_report_stat(true);
}
