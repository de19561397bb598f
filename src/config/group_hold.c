/*
 * group_hold.c
 *		Groups with an order: jobs leave it; groups that are held because a job of theirs
 *		has failed are rows of defer.group_hold; defer.release_group().
 *
 * The transaction that ends the job inserts the row, without a look at others, so it
 * waits for none.  A held group has a limit of 0, as a paused one has
 * (config/limits_load.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/job_state.h"
#include "base/limits_key.h"
#include "base/own_sql.h"
#include "config/group_hold.h"
#include "config/group_settings.h"
#include "config/settings_changes.h"
#include "shmem/xact_notify.h"
#include "table/direct_insert.h"

PG_FUNCTION_INFO_V1(defer_release_group);

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

void
group_holds_delete(char kind, int32 id)
{
	Oid			types[] = {CHAROID, INT4OID};
	Datum		values[] = {CharGetDatum(kind), Int32GetDatum(id)};

	if (own_sql_run("DELETE FROM defer.group_hold h WHERE h.kind OPERATOR(pg_catalog.=) $1"
					" AND h.id OPERATOR(pg_catalog.=) $2",
					lengthof(types), types, values, NULL, SPI_OK_DELETE) > 0)
		xact_notify_rescan();	/* the limits of all of them */
}

/* defer.release_group(group_key, function, queue) */
Datum
defer_release_group(PG_FUNCTION_ARGS)
{
	Oid			types[] = {CHAROID, INT4OID, TEXTOID};
	Datum		values[lengthof(types)];
	GroupTarget target = group_target_read(fcinfo);
	uint64		deleted;
	OwnSql		own;

	values[0] = CharGetDatum(target.kind);
	values[1] = Int32GetDatum(target.id);
	values[2] = PointerGetDatum(target.group_key);
	own_sql_begin(&own);
	SPI_connect();
	deleted = own_sql_run("DELETE FROM defer.group_hold h WHERE h.kind OPERATOR(pg_catalog.=) $1"
						  " AND h.id OPERATOR(pg_catalog.=) $2 AND h.group_key OPERATOR(pg_catalog.=) $3",
						  lengthof(types), types, values, NULL, SPI_OK_DELETE);
	SPI_finish();
	own_sql_end(&own);
	if (deleted > 0)
		xact_notify_group_limit(target.kind, target.id, target.hash);
	PG_RETURN_BOOL(deleted > 0);
}
