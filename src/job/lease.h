/*
 * lease.h
 *		Jobs of tasks that workers outside of the server have taken, in their
 *		transactions: see also shmem/leases.h.
 *
 * An end is checked and noted at the call, and written at COMMIT: up to then the row
 * is not locked, and from then on the end of the lease waits.  A worker that has
 * lost a job cannot commit the transaction in which it has tried to end it,
 * whatever catches the error.
 */
#ifndef DEFER_LEASE_H
#define DEFER_LEASE_H

#include "job/finish.h"
#include "shmem/leases.h"
#include "table/claim_table.h"

/* A job that the current user holds by a token */
typedef struct HeldLease
{
	int64		job_id;
	int64		claim_id;
	pg_uuid_t	token;
	Oid			role;			/* that has taken it */
	int			njobs;			/* that were taken with it */
	TimestampTz taken_at;
	CachedTid	place;			/* of the job's row as it was taken; invalid:
								 * not known */
	bool		cancel;			/* defer.cancel(force => true) */
} HeldLease;

/*
 * lease_take.c: have the transaction's end make a lease of a job that it has taken,
 * and undo that with its subtransaction.  "job" stands in its ready queue as it was
 * read.  Room is reserved for the lease and places are taken, which are its own from
 * then on.  lease_take_begin() is called first, with how many jobs follow at most:
 * then lease_take() throws nothing.
 */
extern void lease_take_begin(int n);
extern void lease_take(const Lease *lease, const Job *job);
extern bool lease_any_taken(void);	/* by this transaction */

extern void lease_init(void);	/* in _PG_init */

/* lease_end.c: find a lease by its token.  Error DF030 or DF032 if there is none */
extern void lease_find(int64 job_id, const pg_uuid_t *token, HeldLease *held);

/* The same without an error */
extern bool lease_is_held(int64 job_id, const pg_uuid_t *token, HeldLease *held);

/* The same; after an error the top transaction cannot commit any more */
extern void lease_find_to_end(int64 job_id, const pg_uuid_t *token, HeldLease *held);

/*
 * Note the end of an attempt, whose texts and result are copied.  Error DF031 if it is
 * a success and the job was cancelled.
 */
extern void lease_note_end(const HeldLease *held, const DeliveryEnd *end);

/* Write the ends that are noted now: what follows in the transaction has to see them */
extern void lease_write_ends(void);

/*
 * lease_recover.c: read the leases of a claim of before the server was started;
 * returns whether all are there.  In a transaction of its own.
 */
extern bool lease_restore(const ClaimRow *claim);

/*
 * End leases that are over, and delete claims whose jobs have all ended, in
 * transactions of its own; by the scheduler.  Returns when to look again.
 */
extern TimestampTz leases_end(TimestampTz now);

#endif							/* DEFER_LEASE_H */
