/*
 * leases.c
 *		Leases in shared memory: see leases.h.
 *
 * All of it is under leases_lock.  Places under limits are given back after that
 * is released, by the process that has removed the lease: once.
 */
#include "postgres.h"

#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/guc.h"
#include "pure/fair_share.h"
#include "shmem/scheduler_wake.h"
#include "shmem/leases.h"
#include "shmem/limits.h"
#include "shmem/shmem.h"

/* What a role holds, reserved or taken */
typedef struct LeaseRole
{
	Oid			role;			/* hash key */
	int32		held;
} LeaseRole;

static HTAB *lease_table = NULL;
static HTAB *role_table = NULL;
static int *used = NULL;		/* by all roles */

Size
leases_shmem_size(void)
{
	Size		size = MAXALIGN(sizeof(int));

	size = add_size(size, hash_estimate_size(defer_max_leases, sizeof(Lease)));
	return add_size(size, hash_estimate_size(defer_max_leases, sizeof(LeaseRole)));
}

void
leases_shmem_init(void)
{
	HASHCTL		control = {0};
	bool		found;

	used = ShmemInitStruct("defer used leases", sizeof(int), &found);
	if (!found)
		*used = 0;
	control.keysize = sizeof(LeaseTag);
	control.entrysize = sizeof(Lease);
	lease_table = compat_shmem_hash("defer leases", defer_max_leases, &control);
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(LeaseRole);
	role_table = compat_shmem_hash("defer roles with leases", defer_max_leases, &control);
}

/* ------------------------------------------------------------------------
 * Room; the caller holds the lock
 * ------------------------------------------------------------------------ */

static void
give_back(Oid role, int n)
{
	LeaseRole  *entry = hash_search(role_table, &role, HASH_FIND, NULL);

	Assert(entry != NULL && entry->held >= n && *used >= n);
	*used -= n;
	entry->held -= n;
	if (entry->held == 0)
		(void) hash_search(role_table, &role, HASH_REMOVE, NULL);
}

static Lease *
find(Oid database, int64 job_id)
{
	LeaseTag	tag = {job_id, database, 0};

	return hash_search(lease_table, &tag, HASH_FIND, NULL);
}

static Lease *
find_of_claim(Oid database, int64 job_id, int64 claim_id)
{
	Lease	   *lease = find(database, job_id);

	return lease != NULL && lease->claim_id == claim_id ? lease : NULL;
}

static void
remove_lease(Lease *lease)
{
	give_back(lease->role, 1);
	(void) hash_search(lease_table, &lease->tag, HASH_REMOVE, NULL);
}

/* ------------------------------------------------------------------------
 * Taking and ending
 * ------------------------------------------------------------------------ */

int
leases_reserve(Oid role, int n)
{
	LeaseRole  *entry;
	int			got;

	LWLockAcquire(shared->leases_lock, LW_EXCLUSIVE);
	entry = hash_search(role_table, &role, HASH_FIND, NULL);
	got = Min(n, Max(fair_share(defer_max_leases, *used, entry == NULL ? 0 : entry->held), 0));
	if (got > 0 && entry == NULL)
	{
		entry = hash_search(role_table, &role, HASH_ENTER_NULL, NULL);
		if (entry == NULL)
			got = 0;
		else
			entry->held = 0;
	}
	if (got > 0)
	{
		entry->held += got;
		*used += got;
	}
	LWLockRelease(shared->leases_lock);
	return got;
}

void
leases_unreserve(Oid role, int n)
{
	if (n == 0)
		return;
	LWLockAcquire(shared->leases_lock, LW_EXCLUSIVE);
	give_back(role, n);
	LWLockRelease(shared->leases_lock);
}

void
leases_add(const Lease *lease)
{
	LimitScopes scopes = {0};
	Lease	   *entry;
	bool		found;

	LWLockAcquire(shared->leases_lock, LW_EXCLUSIVE);
	entry = hash_search(lease_table, &lease->tag, HASH_ENTER_NULL, &found);
	if (entry == NULL)
	{
		LWLockRelease(shared->leases_lock);
		elog(ERROR, "no room for the lease of job " INT64_FORMAT, lease->tag.job_id);
	}
	if (found)
	{
		/*
		 * of an attempt whose end is committed, by a process that is not here
		 * yet
		 */
		scopes = entry->scopes;
		give_back(entry->role, 1);
	}
	*entry = *lease;
	LWLockRelease(shared->leases_lock);
	if (found && limits_release(lease->tag.database, &scopes, LIMITS_ALL))
		database_wake_scheduler(lease->tag.database);
}

TimestampTz
lease_hold(Oid database, int64 job_id, int64 claim_id, int njobs)
{
	const TimestampTz now = GetCurrentTimestamp();
	TimestampTz end = DT_NOEND;
	Lease	   *lease;

	LWLockAcquire(shared->leases_lock, LW_EXCLUSIVE);
	lease = find_of_claim(database, job_id, claim_id);
	if (lease != NULL)
	{
		lease->state = LEASE_HELD;
		lease->njobs = njobs;
		lease->until = Max(lease->until, now + lease->length);
		end = Min(lease->until, lease->deadline);
	}
	LWLockRelease(shared->leases_lock);
	return end;
}

void
lease_remove(Oid database, int64 job_id, int64 claim_id)
{
	LimitScopes scopes = {0};
	Lease	   *lease;

	LWLockAcquire(shared->leases_lock, LW_EXCLUSIVE);
	lease = find_of_claim(database, job_id, claim_id);
	if (lease != NULL)
	{
		scopes = lease->scopes;
		remove_lease(lease);
	}
	LWLockRelease(shared->leases_lock);
	if (lease != NULL && limits_release(database, &scopes, LIMITS_ALL))
		database_wake_scheduler(database);
}

bool
lease_read(Oid database, int64 job_id, Lease *copy)
{
	Lease	   *lease;

	LWLockAcquire(shared->leases_lock, LW_SHARED);
	lease = find(database, job_id);
	if (lease != NULL)
		*copy = *lease;
	LWLockRelease(shared->leases_lock);
	return lease != NULL;
}

bool
lease_has(Oid database, int64 job_id, bool cancel)
{
	Lease	   *lease;
	bool		held;

	LWLockAcquire(shared->leases_lock, cancel ? LW_EXCLUSIVE : LW_SHARED);
	lease = find(database, job_id);
	held = lease != NULL && lease->state != LEASE_TAKING;
	if (held && cancel)
		lease->cancel = true;
	LWLockRelease(shared->leases_lock);
	return held;
}

LeaseBeat
lease_beat(Oid database, int64 job_id, const pg_uuid_t *token, int64 extend, float4 progress)
{
	const TimestampTz now = GetCurrentTimestamp();
	LeaseBeat	result = LEASE_NONE;
	Lease	   *lease;

	LWLockAcquire(shared->leases_lock, LW_EXCLUSIVE);
	lease = find(database, job_id);
	if (lease != NULL && lease->state == LEASE_HELD &&
		memcmp(&lease->token, token, sizeof(pg_uuid_t)) == 0)
	{
		lease->until = now + (extend >= 0 ? extend : lease->length);
		lease->heard_at = now;
		if (progress >= 0)
			lease->progress = progress;
		result = lease->cancel ? LEASE_CANCEL : LEASE_GO_ON;
	}
	LWLockRelease(shared->leases_lock);
	return result;
}

/* ------------------------------------------------------------------------
 * The scheduler
 * ------------------------------------------------------------------------ */

int
leases_take_over(Oid database, TimestampTz now, Lease *leases, int max, TimestampTz *next)
{
	HASH_SEQ_STATUS scan;
	Lease	   *lease;
	int			n = 0;

	*next = DT_NOEND;
	LWLockAcquire(shared->leases_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, lease_table);
	while ((lease = hash_seq_search(&scan)) != NULL)
	{
		TimestampTz end = Min(lease->until, lease->deadline);

		if (lease->tag.database != database || lease->state != LEASE_HELD)
			continue;
		if (end > now || n == max)
			*next = Min(*next, end);
		else
		{
			lease->state = LEASE_ENDING;
			leases[n++] = *lease;
		}
	}
	LWLockRelease(shared->leases_lock);
	return n;
}

void
lease_keep(Oid database, int64 job_id, int64 claim_id)
{
	Lease	   *lease;

	LWLockAcquire(shared->leases_lock, LW_EXCLUSIVE);
	lease = find_of_claim(database, job_id, claim_id);
	if (lease != NULL && lease->state == LEASE_ENDING)
		lease->state = LEASE_HELD;
	LWLockRelease(shared->leases_lock);
}

int
leases_copy(Oid database, Lease **leases)
{
	HASH_SEQ_STATUS scan;
	Lease	   *lease;
	int			room;
	int			n = 0;

	LWLockAcquire(shared->leases_lock, LW_SHARED);
	room = *used;
	LWLockRelease(shared->leases_lock);

	/* not under the lock: palloc may fail */
	*leases = palloc(Max(room, 1) * sizeof(Lease));
	LWLockAcquire(shared->leases_lock, LW_SHARED);
	hash_seq_init(&scan, lease_table);
	while ((lease = hash_seq_search(&scan)) != NULL)
	{
		if (lease->tag.database != database)
			continue;
		if (n == room)
		{
			hash_seq_term(&scan);
			break;				/* others came meanwhile */
		}
		(*leases)[n++] = *lease;
	}
	LWLockRelease(shared->leases_lock);
	return n;
}

void
leases_forget(Oid database)
{
	HASH_SEQ_STATUS scan;
	Lease	   *lease;

	LWLockAcquire(shared->leases_lock, LW_EXCLUSIVE);
	hash_seq_init(&scan, lease_table);
	while ((lease = hash_seq_search(&scan)) != NULL)
	{
		if (lease->tag.database != database || lease->state == LEASE_TAKING)
			continue;
		(void) limits_release(database, &lease->scopes, LIMITS_ALL);
		remove_lease(lease);	/* the one that the scan is at may be removed */
	}
	LWLockRelease(shared->leases_lock);
}
