/*
 * inflight.h
 *		The deliveries that this process, the sender of its database, has in flight.
 *
 * The table lives as long as the process.  The SenderSlot tells other
 * processes which jobs there are and which are to be cancelled.
 *
 *	inflight.c	the table; beginning transfers, and collecting those that end
 *	claim.c		taking jobs into it
 *	record.c	writing down how they ended, and taking them out
 */
#ifndef DELIVERY_INFLIGHT_H
#define DELIVERY_INFLIGHT_H

#include "delivery/dispatch.h"
#include "shmem/senders.h"
#include "table/tid_cache.h"

/* A claim: its row in defer.claim, which is there until the last of its jobs has ended */
typedef struct DeliveryClaim
{
	int64		id;
	CachedTid	place;			/* of the row */
	int			left;			/* deliveries of it that are in flight */
	int			ending;			/* of these, by the transaction that is open */
} DeliveryClaim;

typedef struct Delivery
{
	MemoryContext context;		/* of all that belongs to it */
	DeliveryClaim *claim;
	Job			job;
	TimestampTz started_at;
	bool		waits;			/* it is counted as one that has no token */
	int64		begin_at;		/* monotonic time: its token's; 0: it has none */
	Endpoint   *endpoint;		/* that it is sent with; NULL: none */
	Transfer   *transfer;		/* NULL: not begun, or could not be */
	bool		started;		/* the transfer is */
	bool		ended;			/* nothing more is done for it but to record
								 * the end */
	bool		classified;		/* "end" is set */
	bool		internal;		/* and is no answer of a peer, but an end that
								 * we made up */
	bool		recorded;		/* in the transaction that is open */
	DeliveryEnd end;
} Delivery;

typedef struct Inflight
{
	const Transport *transport;
	SenderSlot *slot;
	int			capacity;
	Delivery   *deliveries[TRANSFERS_MAX];	/* by their entry in the slot */
	int			ndeliveries;
	int			nmails;			/* of them */
	int			nended;
	int			ndelayed;		/* of those prepared: begin_at may not have
								 * come */

	/*
	 * Owners of deliveries that have left a name lookup behind, the oldest
	 * first
	 */
	Oid			lookups[TRANSFERS_MAX];
	int			nlookups;
} Inflight;

extern Inflight inflight;

/* ------------------------------------------------------------------------
 * inflight.c
 * ------------------------------------------------------------------------ */

/* How many more deliveries of a role may begin, and how many of them may be mails */
extern int	inflight_share(Oid role, bool mails);

/* Check whether no place is to be had, for any role */
extern bool inflight_full(void);

/* Copy a job into memory of its own; put it into the table, which cannot fail */
extern Delivery *inflight_prepare(const Job *job);
extern void inflight_add(int entry, Delivery *delivery, DeliveryClaim *claim);

/* Free the entry of a delivery whose end is committed */
extern void inflight_forget(int entry);

/* Prepare all that were added; errors end the one delivery, and the rest goes on */
extern void inflight_prepare_all(void);

/* Begin those whose time has come.  *next_check is lowered to when others begin */
extern void inflight_begin(TimestampTz *next_check);

/* Note which have ended by now, and which are to be cancelled */
extern void inflight_collect(void);

/* End one that has not ended, in a way of our own */
extern void inflight_end(Delivery *delivery, DeliveryOutcome outcome, int sqlerrcode,
						 const char *message);

/* ------------------------------------------------------------------------
 * claim.c
 * ------------------------------------------------------------------------ */

/*
 * Take deliveries that are due, of one ready queue, in a transaction.  False: there
 * is nothing to be taken.  *next_check is lowered to when there may be.  Errors are
 * thrown, with nothing taken.
 */
extern bool delivery_claim(TimestampTz *next_check);

/* The process ends: give back what a claim that was broken off has reserved */
extern void delivery_claim_abandon(void);

/* ------------------------------------------------------------------------
 * record.c
 * ------------------------------------------------------------------------ */
typedef enum RecordOutcome
{
	RECORD_DONE,				/* all that were tried are written; there may
								 * be more */
	RECORD_BUSY,				/* rows of some are locked by other sessions */
	RECORD_FAILED				/* the transaction has failed: not at once
								 * again */
} RecordOutcome;

/* Write down the ends of some deliveries, in a transaction */
extern RecordOutcome delivery_record(void);

/* The process ends: write down what became of all of them, without waiting for a lock */
extern void delivery_record_all(const char *message);

#endif							/* DELIVERY_INFLIGHT_H */
