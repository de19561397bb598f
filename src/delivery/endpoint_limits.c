/*
 * endpoint_limits.c
 *		Limits of endpoints: concurrency, rate and its burst, as functions and queues have
 *		them.
 *
 * An endpoint has a number, for shared memory, from its first limit on.  Its limits are
 * those of all roles that send with it; which of them is next, the sender decides (see
 * ready_queue_choose_delivery()).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "base/own_sql.h"
#include "config/endpoint_settings.h"
#include "config/setting_values.h"
#include "config/settings_changes.h"
#include "delivery/endpoint.h"
#include "shmem/limits.h"
#include "shmem/xact_notify.h"

/* In the order of the parameters of defer.endpoint() */
static const SettingColumn limit_columns[] = {
	{"concurrency", SETTING_COUNT},
	{"rate", SETTING_RATE},
	{"rate_burst", SETTING_BURST},
};

static const SettingTable endpoint_table = {
	.name = "endpoint",
	.key = "name",
	.limit_kind = 'e',
	.ncolumns = lengthof(limit_columns),
	.columns = limit_columns,
};

StaticAssertDecl(lengthof(limit_columns) == ENDPOINT_LIMITS, "as the parameters");

bool
endpoint_limits_check(FunctionCallInfo fcinfo, int first)
{
	return setting_values_check(&endpoint_table, fcinfo, first);
}

/* Let the other processes know at commit: the limit is that now */
static void
limit_changed(int32 id, int32 limit, bool rated)
{
	settings_invalidate();
	xact_notify_limit(endpoint_table.limit_kind, id, limit, rated);
}

void
endpoint_limits_write(const char *name, FunctionCallInfo fcinfo, int first, bool reset)
{
	Oid			types[] = {TEXTOID, BOOLOID, INT4OID, TEXTOID, INT4OID, INT4OID};
	Datum		values[lengthof(types)] = {CStringGetTextDatum(name), BoolGetDatum(reset)};
	char		nulls[lengthof(types)] = {' ', ' '};
	HeapTuple	row;
	bool		isnull;
	Datum		column[3];

	for (int i = 0; i < ENDPOINT_LIMITS; i++)
	{
		values[2 + i] = PG_ARGISNULL(first + i) ? (Datum) 0 :
			setting_value(&limit_columns[i], fcinfo, first + i);
		nulls[2 + i] = PG_ARGISNULL(first + i) ? 'n' : ' ';
	}
	values[5] = endpoint_settings(name)->id != 0 ? (Datum) 0 :
		Int32GetDatum(setting_unused_id(&endpoint_table));
	nulls[5] = endpoint_settings(name)->id != 0 ? 'n' : ' ';
	if (own_sql_run("UPDATE defer.endpoint e SET id = COALESCE(e.id, $6),"
					" concurrency = CASE WHEN $2 THEN $3 ELSE COALESCE($3, e.concurrency) END,"
					" rate = CASE WHEN $2 THEN $4 ELSE COALESCE($4, e.rate) END,"
					" rate_burst = CASE WHEN $2 THEN $5 ELSE COALESCE($5, e.rate_burst) END"
					" WHERE e.name OPERATOR(pg_catalog.=) $1"
					" RETURNING e.id, COALESCE(e.concurrency, -1), e.rate IS NOT NULL",
					lengthof(types), types, values, nulls, SPI_OK_UPDATE_RETURNING) != 1)
		elog(ERROR, "row of defer.endpoint has gone");
	row = SPI_tuptable->vals[0];
	for (int i = 0; i < lengthof(column); i++)
		column[i] = SPI_getbinval(row, SPI_tuptable->tupdesc, i + 1, &isnull);
	limit_changed(DatumGetInt32(column[0]), DatumGetInt32(column[1]), DatumGetBool(column[2]));
	SPI_freetuptable(SPI_tuptable);
}

void
endpoint_limits_forget(int32 id)
{
	if (id != 0)
		limit_changed(id, LIMIT_NONE, false);
}
