/*
 * event_table.c
 *		Events and signals, which steps of procedures wait for.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/guc_job.h"
#include "base/own_sql.h"
#include "table/direct_scan.h"
#include "table/event_table.h"

PG_FUNCTION_INFO_V1(defer_event_key);

enum
{
	EVENT_OWNER = 1, EVENT_NAME, EVENT_KEY, EVENT_PAYLOAD, EVENT_AT,
	EVENT_NATTS = EVENT_AT
};

static const char *const event_columns[] = {
	[EVENT_OWNER - 1] = "owner",
	[EVENT_NAME - 1] = "name",
	[EVENT_KEY - 1] = "key",
	[EVENT_PAYLOAD - 1] = "payload",
	[EVENT_AT - 1] = "at",
};

enum
{
	SIGNAL_JOB_ID = 1, SIGNAL_NAME, SIGNAL_ID, SIGNAL_OWNER, SIGNAL_KEY, SIGNAL_PAYLOAD, SIGNAL_AT,
	SIGNAL_NATTS = SIGNAL_AT
};

static const char *const signal_columns[] = {
	[SIGNAL_JOB_ID - 1] = "job_id",
	[SIGNAL_NAME - 1] = "name",
	[SIGNAL_ID - 1] = "id",
	[SIGNAL_OWNER - 1] = "owner",
	[SIGNAL_KEY - 1] = "key",
	[SIGNAL_PAYLOAD - 1] = "payload",
	[SIGNAL_AT - 1] = "at",
};

static const DirectTable event_table = {CAT_EVENT, event_columns, EVENT_NATTS};
static const DirectTable signal_table = {CAT_SIGNAL, signal_columns, SIGNAL_NATTS};

/* ------------------------------------------------------------------------
 * Keys
 * ------------------------------------------------------------------------ */

/*
 * Two events of a key would wake each other's waiters, and an emit locks those: so no role
 * may be able to find a name that has the key of another role's event.
 */
static int64
key_of(uint64 of, const char *name)
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	uint64		hash;

	if (context == NULL || pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) &of, sizeof(of)) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) name, strlen(name)) < 0 ||
		pg_cryptohash_final(context, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute the key of an event");
	pg_cryptohash_free(context);
	memcpy(&hash, digest, sizeof(hash));

	/* nor one that meets what is awaited otherwise */
	return PG_INT64_MIN + (int64) (hash >> 2);
}

int64
event_key(Oid owner, const char *name)
{
	return key_of(owner, name);
}

/* Ids of jobs are not those of roles */
int64
event_signal_key(int64 job_id, const char *name)
{
	return key_of(~(uint64) job_id, name);
}

/* defer.event_key(owner, name) */
Datum
defer_event_key(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(event_key(PG_GETARG_OID(0), text_to_cstring(PG_GETARG_TEXT_PP(1))));
}

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

static void
name_key(ScanKey key, const char *name)
{
	ScanKeyEntryInitialize(key, 0, 2, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID,
						   F_TEXTEQ, CStringGetTextDatum(name));
}

/* Events that are older count no more; NO limit: 0 */
static bool
is_over(TimestampTz at)
{
	return defer_event_retention > 0 &&
		at < GetCurrentTimestamp() - (int64) defer_event_retention * USECS_PER_MINUTE;
}

static Jsonb *
payload_of(TupleTableSlot *slot, AttrNumber column)
{
	bool		isnull;
	Datum		payload = slot_getattr(slot, column, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(payload);
}

static bool
event_counts(TupleTableSlot *slot)
{
	bool		isnull;

	return !is_over(DatumGetTimestampTz(slot_getattr(slot, EVENT_AT, &isnull)));
}

bool
event_find(Oid owner, const char *name, Jsonb **payload)
{
	DirectScan	scan;
	ScanKeyData keys[2];
	bool		found;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(owner));
	name_key(&keys[1], name);
	direct_scan_open(&scan, &event_table, CAT_EVENT_PKEY, lengthof(keys), keys);
	found = direct_scan_next(&scan) && event_counts(scan.slot);
	if (found)
		*payload = payload_of(scan.slot, EVENT_PAYLOAD);
	direct_scan_close(&scan);
	return found;
}

bool
event_find_signal(int64 job_id, const char *name, Jsonb **payload, ItemPointer tid)
{
	DirectScan	scan;
	ScanKeyData keys[2];
	bool		found;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(job_id));
	name_key(&keys[1], name);
	direct_scan_open(&scan, &signal_table, CAT_SIGNAL_PKEY, lengthof(keys), keys);
	found = direct_scan_next(&scan);
	if (found)
	{
		*payload = payload_of(scan.slot, SIGNAL_PAYLOAD);
		*tid = scan.slot->tts_tid;
	}
	direct_scan_close(&scan);
	return found;
}

/* Only the worker of a job that runs deletes signals to it */
void
event_delete_signal(ItemPointer tid)
{
	Relation	rel = table_open(catalog_oid(CAT_SIGNAL), RowExclusiveLock);
	TM_FailureData failure;

	if (compat_table_delete(rel, tid, GetCurrentCommandId(true), false, &failure) != TM_Ok)
		elog(ERROR, "a signal was changed by another process");
	table_close(rel, NoLock);
}

/* Check for a row of that key in one of the tables */
static bool
exists(const DirectTable *table, CatalogObject index, AttrNumber owner_column, int64 key,
	   Oid *owner)
{
	DirectScan	scan;
	ScanKeyData of_key;
	bool		found = false;

	ScanKeyInit(&of_key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(key));
	direct_scan_open(&scan, table, index, 1, &of_key);
	while (!found && direct_scan_next(&scan))
	{
		bool		isnull;

		found = table == &signal_table || event_counts(scan.slot);
		if (found)
			*owner = DatumGetObjectId(slot_getattr(scan.slot, owner_column, &isnull));
	}
	direct_scan_close(&scan);
	return found;
}

bool
event_exists(int64 key, Oid *owner)
{
	return exists(&event_table, CAT_EVENT_KEY_IDX, EVENT_OWNER, key, owner) ||
		exists(&signal_table, CAT_SIGNAL_KEY_IDX, SIGNAL_OWNER, key, owner);
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------ */

/* Run a statement as the owner of the extension.  Returns how many rows it has written */
static uint64
run(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls, int expected)
{
	OwnSql		own;
	uint64		n;

	own_sql_begin(&own);
	SPI_connect();
	n = own_sql_run(sql, nargs, types, values, nulls, expected);
	SPI_finish();
	own_sql_end(&own);
	return n;
}

/* The first of a name counts, until it is over */
bool
event_insert(Oid owner, const char *name, Jsonb *payload)
{
	TimestampTz now = GetCurrentTimestamp();
	Oid			types[] = {REGROLEOID, TEXTOID, INT8OID, JSONBOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[] = {
		ObjectIdGetDatum(owner), CStringGetTextDatum(name), Int64GetDatum(event_key(owner, name)),
		PointerGetDatum(payload), TimestampTzGetDatum(now),
		TimestampTzGetDatum(defer_event_retention == 0 ? DT_NOBEGIN :
							now - (int64) defer_event_retention * USECS_PER_MINUTE)
	};

	return run("INSERT INTO defer.event AS e (owner, name, key, payload, at)"
			   " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (owner, name) DO UPDATE"
			   " SET payload = EXCLUDED.payload, at = EXCLUDED.at"
			   " WHERE e.at OPERATOR(pg_catalog.<) $6",
			   lengthof(types), types, values, payload == NULL ? "   n  " : NULL,
			   SPI_OK_INSERT) > 0;
}

void
event_insert_signal(int64 job_id, Oid owner, const char *name, Jsonb *payload)
{
	Oid			types[] = {INT8OID, REGROLEOID, TEXTOID, INT8OID, JSONBOID};
	Datum		values[] = {
		Int64GetDatum(job_id), ObjectIdGetDatum(owner), CStringGetTextDatum(name),
		Int64GetDatum(event_signal_key(job_id, name)), PointerGetDatum(payload)
	};

	(void) run("INSERT INTO defer.signal (job_id, owner, name, key, payload)"
			   " VALUES ($1, $2, $3, $4, $5)",
			   lengthof(types), types, values, payload == NULL ? "    n" : NULL,
			   SPI_OK_INSERT);
}

bool
event_purge(int max)
{
	Oid			types[] = {TIMESTAMPTZOID, INT4OID};
	Datum		values[] = {
		TimestampTzGetDatum(GetCurrentTimestamp() -
							(int64) defer_event_retention * USECS_PER_MINUTE),
		Int32GetDatum(max)
	};

	if (defer_event_retention == 0)
		return false;
	return run("DELETE FROM defer.event e USING (SELECT x.owner, x.name FROM defer.event x"
			   " WHERE x.at OPERATOR(pg_catalog.<) $1 ORDER BY x.at LIMIT $2"
			   " FOR UPDATE SKIP LOCKED) o WHERE e.owner OPERATOR(pg_catalog.=) o.owner"
			   " AND e.name OPERATOR(pg_catalog.=) o.name",
			   lengthof(types), types, values, NULL, SPI_OK_DELETE) >= (uint64) max;
}

void
event_rekey(void)
{
	(void) run("UPDATE defer.event SET key = defer.event_key(owner, name)", 0, NULL, NULL, NULL,
			   SPI_OK_UPDATE);
	(void) run("UPDATE defer.dependency d SET awaits_id = k.key, parent_id = k.key"
			   " FROM (SELECT s.job_id, defer.event_key(s.owner, s.awaits) AS key FROM defer.step s"
			   " WHERE s.kind OPERATOR(pg_catalog.=) 'e' AND s.finished_at IS NULL) k"
			   " WHERE d.child_id OPERATOR(pg_catalog.=) k.job_id"
			   " AND d.ord OPERATOR(pg_catalog.<) 0 AND d.ord OPERATOR(pg_catalog.%) 2 OPERATOR(pg_catalog.<>) 0",
			   0, NULL, NULL, NULL, SPI_OK_UPDATE);
}
