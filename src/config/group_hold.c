/*
 * group_hold.c
 *		Groups with an order: jobs leave it; groups that are held because a job of theirs
 *		has failed are rows of defer.group_hold (released in group_settings.c).
 *
 * The transaction that ends the job inserts the row, without a look at others, so it
 * waits for none.  A held group has a limit of 0, as a paused one has
 * (config/limits_load.c).
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/job_state.h"
#include "base/limits_key.h"
#include "config/group_hold.h"
#include "shmem/xact_notify.h"
#include "table/direct_insert.h"

enum
{
	HOLD_KIND = 1, HOLD_ID, HOLD_GROUP_KEY, HOLD_GROUP_HASH, HOLD_JOB_ID, HOLD_OWNER, HOLD_AT,
	HOLD_NATTS = HOLD_AT
};

static const char *const hold_columns[] = {
	[HOLD_KIND - 1] = "kind",
	[HOLD_ID - 1] = "id",
	[HOLD_GROUP_KEY - 1] = "group_key",
	[HOLD_GROUP_HASH - 1] = "group_hash",
	[HOLD_JOB_ID - 1] = "job_id",
	[HOLD_OWNER - 1] = "owner",
	[HOLD_AT - 1] = "at",
};

static char
kind_of(const Job *job)
{
	return job->order_scope > 0 ? 'q' : 'f';
}

static int64
hash_of(const Job *job)
{
	return limits_group_hash(VARDATA_ANY(job->group_key), VARSIZE_ANY_EXHDR(job->group_key));
}

void
group_order_left(const Job *job)
{
	xact_notify_order(kind_of(job), abs(job->order_scope), hash_of(job));
}

void
group_order_end(const Job *job, char state)
{
	const int32 id = abs(job->order_scope);
	Datum		values[HOLD_NATTS];
	bool		nulls[HOLD_NATTS] = {0};

	group_order_left(job);
	if (state != STATE_FAILED || !group_order_holds(job))
		return;
	values[HOLD_KIND - 1] = CharGetDatum(kind_of(job));
	values[HOLD_ID - 1] = Int32GetDatum(id);
	values[HOLD_GROUP_KEY - 1] = PointerGetDatum(job->group_key);
	values[HOLD_GROUP_HASH - 1] = Int64GetDatum(hash_of(job));
	values[HOLD_JOB_ID - 1] = Int64GetDatum(job->id);
	values[HOLD_OWNER - 1] = ObjectIdGetDatum(job->owner);
	values[HOLD_AT - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	direct_insert(catalog_oid(CAT_GROUP_HOLD), hold_columns, HOLD_NATTS, values, nulls);
	xact_notify_group_limit(kind_of(job), id, hash_of(job));
}
