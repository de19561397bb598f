/*
 * senders.h
 *		The processes that send deliveries, one a database.
 *
 * The slot is given out when one is started.  All that a sender has taken runs:
 * nothing waits in a batch.
 */
#ifndef DEFER_SENDERS_H
#define DEFER_SENDERS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "storage/lwlock.h"

#include "base/guc_delivery.h"
#include "shmem/process_slot.h"

/* A delivery that the sender has taken */
typedef struct TransferEntry
{
	int64		job_id;			/* 0: the entry is free */
	int64		claim_id;		/* row of defer.claim */
	TimestampTz started_at;
	Oid			owner;			/* of the job */
	bool		cancel;			/* stop it by force */
} TransferEntry;

typedef struct SenderSlot
{
	/* under workers_lock */
	Oid			database;		/* InvalidOid: the slot is free */
	ProcessSlot process;		/* its pid is 0 while it starts and exits */
	bool		called;			/* it was woken, and has not looked since */

	LWLock	   *lock;			/* never changes */

	/* under "lock" */
	int			nentries;		/* entries from here on are free */
	TransferEntry entries[TRANSFERS_MAX];
} SenderSlot;

extern SenderSlot *sender_slots;	/* [shared->ndatabase_slots] */

extern Size senders_shmem_size(void);
extern void senders_shmem_init(LWLockPadded *locks);	/* under
														 * AddinShmemInitLock */

/* The slot of the database's sender, NULL: none; the caller holds workers_lock */
extern SenderSlot *sender_slot(Oid database);

/* False: the database has no sender, or it has not attached yet */
extern bool sender_wake(Oid database);

/*
 * Check whether the sender has that job under way.  If so, and "cancel", it is
 * told to stop it
 */
extern bool sender_has(Oid database, int64 job_id, bool cancel);

/*
 * Check whether the sender has a delivery of that row of defer.claim under way
 */
extern bool sender_has_claim(Oid database, int64 claim_id);

#endif							/* DEFER_SENDERS_H */
