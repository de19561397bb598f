/*
 * leases.h
 *		The jobs that workers outside of the server have taken.
 *
 * What decides about a taken job is its row: the claim in it, and that claim's token.
 * Shared memory has a lease for it, so that the scheduler ends it in time, its
 * places under limits count, a command can have it cancelled, and views show it.  A
 * job without a lease, as after a crash before recovery has come to it, can be ended
 * by its token all the same.
 *
 * There is room for defer.max_leases, of all databases; a role holds no more than
 * it leaves free (pure/fair_share.h).  The role is that of the worker.
 */
#ifndef DEFER_LEASES_H
#define DEFER_LEASES_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "storage/itemptr.h"
#include "utils/uuid.h"

#include "base/limits_key.h"

/* Bytes of the name of a worker, with its end */
#define LEASE_WORKER_MAX	64

/* Bytes of an address, with its end */
#define LEASE_HOST_MAX	64

typedef enum LeaseState
{
	LEASE_TAKING,				/* the transaction that takes it has not
								 * committed */
	LEASE_HELD,
	LEASE_ENDING				/* the scheduler is about to end it */
} LeaseState;

/* No padding */
typedef struct LeaseTag
{
	int64		job_id;
	Oid			database;
	uint32		unused;			/* 0 */
} LeaseTag;

typedef struct Lease
{
	LeaseTag	tag;			/* hash key */
	LeaseState	state;
	int64		claim_id;		/* row of defer.claim */
	int32		njobs;			/* in that */
	pg_uuid_t	token;
	Oid			role;			/* of the worker */
	Oid			owner;			/* of the job */
	int64		length;			/* microseconds */
	TimestampTz taken_at;
	TimestampTz until;			/* it is ended then, unless it is extended */
	TimestampTz deadline;		/* or then: max_duration; DT_NOEND: never */
	TimestampTz heard_at;		/* last call of the worker about it */
	bool		cancel;			/* defer.cancel(force => true) */
	float4		progress;		/* negative: not told */
	LimitScopes scopes;			/* it has a place under each of these */
	ItemPointerData row;		/* of the job, as it was taken; invalid: not
								 * known */
	Oid			row_file;		/* of the table that it was in */
	char		worker[LEASE_WORKER_MAX];	/* "": no name */
	char		host[LEASE_HOST_MAX];	/* of its client; "": not known */
} Lease;

extern Size leases_shmem_size(void);
extern void leases_shmem_init(void);	/* under AddinShmemInitLock */

/*
 * Reserve room for up to n leases of a role; returns for how many.  Each is used by
 * leases_add(), whose lease is a copy, or given back by leases_unreserve().
 */
extern int	leases_reserve(Oid role, int n);
extern void leases_unreserve(Oid role, int n);
extern void leases_add(const Lease *lease);

/*
 * The transaction that took the job, njobs in that claim, has committed: the lease is
 * held for its length from now on.  Returns when it is to be ended.
 */
extern TimestampTz lease_hold(Oid database, int64 job_id, int64 claim_id, int njobs);

/*
 * Remove the lease of a job under that claim, if there is one, and give its places
 * back; wakes the scheduler if another process may have waited for one.
 */
extern void lease_remove(Oid database, int64 job_id, int64 claim_id);

/* Copy the lease of a job; false: there is none */
extern bool lease_read(Oid database, int64 job_id, Lease *lease);

/* Check whether a job is taken: its lease is held.  If so, and "cancel", mark it */
extern bool lease_has(Oid database, int64 job_id, bool cancel);

/* What a heartbeat finds */
typedef enum LeaseBeat
{
	LEASE_GO_ON,
	LEASE_CANCEL,
	LEASE_NONE					/* there is no such lease in shared memory */
} LeaseBeat;

/*
 * Have a lease of that token end "extend" microseconds from now, -1: its length.
 * progress: negative: as it was.
 */
extern LeaseBeat lease_beat(Oid database, int64 job_id, const pg_uuid_t *token, int64 extend,
							float4 progress);

/*
 * Copy up to max held leases of a database that are over, as ENDING, and return how
 * many; *next is when the next one is over.  lease_keep(): one is held after all.
 */
extern int	leases_take_over(Oid database, TimestampTz now, Lease *leases, int max,
							 TimestampTz *next);
extern void lease_keep(Oid database, int64 job_id, int64 claim_id);

/* Copy all leases of a database, palloc'd; returns how many */
extern int	leases_copy(Oid database, Lease **leases);

/* The database is not served any more: its leases are read from its tables if it is again */
extern void leases_forget(Oid database);

#endif							/* DEFER_LEASES_H */
