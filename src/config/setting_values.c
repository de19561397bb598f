/*
 * setting_values.c
 *		What the settings of functions and of queues have in common.
 *
 * The SQL functions' parameters stand in the order of a table of columns, so
 * that one loop checks them all and one builds the UPDATE: a setting can be
 * neither forgotten nor treated differently in one of the two places.  NULL
 * leaves a setting as it is; only "reset" takes it away.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/int.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/own_sql.h"
#include "config/group_by.h"
#include "config/group_hold.h"
#include "config/queue_access.h"
#include "config/rate_text.h"
#include "config/setting_values.h"
#include "config/settings_changes.h"
#include "shmem/caps.h"
#include "shmem/xact_notify.h"

/* Parameters that every UPDATE has before those of the columns */
#define NFIXED		3
#define MAX_COLUMNS 24

/* ------------------------------------------------------------------------
 * Checks
 * ------------------------------------------------------------------------ */

static void
check_number(const SettingColumn *column, double value)
{
	double		least = column->type == SETTING_SHARE ? 0 : 1;

	if (column->type == SETTING_CONCURRENCY && value == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be at least 1", column->name),
				 errhint("To hold all jobs back use defer.pause() or defer.pause_queue().")));
	/* written so that NaN is refused, too */
	if (!(value >= least) || isinf(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be at least %d", column->name, (int) least),
				 column->type == SETTING_CONCURRENCY || column->type == SETTING_CAP ?
				 errhint("To take the limit away use reset => true.") : 0));
	if (column->type == SETTING_SHARE && value > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be between 0 and 1", column->name)));
}

/* What is kept for one queue is taken from all roles, in all databases of the server */
static void
check_reserved(int32 value)
{
	if (value < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"reserved\" must not be negative"),
				 errhint("0 keeps no worker for the queue.")));
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to reserve workers"),
				 errdetail("Only superusers can keep workers for a queue: these are taken from all databases of the server.")));
}

/* The value is one of two words */
static void
check_word(const SettingColumn *column, Datum value, const char *one, const char *other)
{
	char	   *what = TextDatumGetCString(value);

	if (strcmp(what, one) != 0 && strcmp(what, other) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\": \"%s\"", column->name, what),
				 errhint("Valid values are \"%s\" and \"%s\".", one, other)));
}

static void
check_value(const SettingColumn *column, Datum value)
{
	switch (column->type)
	{
		case SETTING_QUEUE:
			(void) queue_check_usable(TextDatumGetCString(value), GetUserId());
			break;
		case SETTING_AT_LIMIT:
			check_word(column, value, "keep", "cancel");
			break;
		case SETTING_ORDER:
			check_word(column, value, "strict", "none");
			break;
		case SETTING_ON_FAILURE:
			check_word(column, value, "skip", "hold");
			break;
		case SETTING_PRIORITY:
			break;				/* any */
		case SETTING_COUNT:
		case SETTING_CONCURRENCY:
		case SETTING_CAP:
			check_number(column, DatumGetInt32(value));
			break;
		case SETTING_FACTOR:
		case SETTING_SHARE:
			check_number(column, DatumGetFloat8(value));
			break;
		case SETTING_TIME:
			(void) setting_interval(column->name, DatumGetIntervalP(value));
			break;
		case SETTING_TIME_NOT_0:
			if (setting_interval(column->name, DatumGetIntervalP(value)) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("\"%s\" must be more than 0", column->name)));
			break;
		case SETTING_GROUP_BY:
			group_by_check(TextDatumGetCString(value));
			break;
		case SETTING_RATE:
			(void) rate_interval_of_text(column->name, TextDatumGetCString(value));
			break;
		case SETTING_BURST:
			if (DatumGetInt32(value) < 1 || DatumGetInt32(value) > RATE_BURST_MAX)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("\"%s\" must be between 1 and %d", column->name, RATE_BURST_MAX)));
			break;
		case SETTING_RESERVED:
			check_reserved(DatumGetInt32(value));
			break;
	}
}

static Oid
column_type(SettingType type)
{
	switch (type)
	{
		case SETTING_QUEUE:
		case SETTING_AT_LIMIT:
		case SETTING_GROUP_BY:
		case SETTING_RATE:
		case SETTING_ORDER:
		case SETTING_ON_FAILURE:
			return TEXTOID;
		case SETTING_PRIORITY:
		case SETTING_COUNT:
		case SETTING_CONCURRENCY:
		case SETTING_BURST:
		case SETTING_RESERVED:
		case SETTING_CAP:
			return INT4OID;
		case SETTING_FACTOR:
		case SETTING_SHARE:
			return FLOAT8OID;
		case SETTING_TIME:
		case SETTING_TIME_NOT_0:
			return INTERVALOID;
	}
	pg_unreachable();
}

Datum
setting_value(const SettingColumn *column, FunctionCallInfo fcinfo, int n)
{
	if (column_type(column->type) == INT4OID)
		return Int32GetDatum(args_int32(fcinfo, n, column->name));
	return PG_GETARG_DATUM(n);
}

bool
setting_values_check(const SettingTable *table, FunctionCallInfo fcinfo, int first)
{
	bool		any = false;

	for (int i = 0; i < table->ncolumns; i++)
	{
		if (PG_ARGISNULL(first + i))
			continue;
		check_value(&table->columns[i], setting_value(&table->columns[i], fcinfo, first + i));
		any = true;
	}
	return any;
}

int
setting_argument(const SettingTable *table, int first, const char *name)
{
	int			i = 0;

	while (strcmp(table->columns[i].name, name) != 0)
		i++;
	Assert(i < table->ncolumns);
	return first + i;
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------ */

/* Which of max_queued and group_max_queued are set */
#define CAPS_SET(row) \
	"(" row ".max_queued IS NOT NULL)::integer" \
	" OPERATOR(pg_catalog.+) (2 OPERATOR(pg_catalog.*) (" row ".group_max_queued IS NOT NULL)::integer)"

/*
 * Read what a statement has returned of a row: its limit, whether it has a rate and an
 * order, whether jobs over the limit are cancelled, and which caps it has
 */
static void
read_limit(SettingRow *row)
{
	HeapTuple	tuple = SPI_tuptable->vals[0];
	TupleDesc	desc = SPI_tuptable->tupdesc;
	bool		isnull;

	row->limit = DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull));
	row->rated = DatumGetBool(SPI_getbinval(tuple, desc, 2, &isnull));
	row->strict = DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull));
	row->cancels = DatumGetBool(SPI_getbinval(tuple, desc, 4, &isnull));
	row->caps = DatumGetInt32(SPI_getbinval(tuple, desc, 5, &isnull));
}

/*
 * The numbers of rows that were taken back are used again once the sequence has
 * come to its end: a role that makes and undoes rows uses up none for others.
 */
int32
setting_unused_id(const SettingTable *table)
{
	const char *sql = psprintf("SELECT c.id FROM (SELECT pg_catalog.nextval('defer.%s_id_seq')::integer AS id) c"
							   " WHERE NOT EXISTS (SELECT FROM defer.%s t"
							   " WHERE t.id OPERATOR(pg_catalog.=) c.id)",
							   table->name, table->name);
	bool		isnull;
	int32		id;

	do
		CHECK_FOR_INTERRUPTS();
	while (own_sql_run(sql, 0, NULL, NULL, NULL, SPI_OK_SELECT) == 0);
	id = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return id;
}

/* Lock the row and read its number */
static bool
read_row(const SettingTable *table, text *key, SettingRow *row)
{
	Oid			type = TEXTOID;
	Datum		value = PointerGetDatum(key);
	bool		isnull;
	char	   *sql;

	sql = psprintf("SELECT t.id, " CAPS_SET("t") " FROM defer.%s t"
				   " WHERE t.%s OPERATOR(pg_catalog.=) $1 FOR UPDATE",
				   table->name, table->key);
	if (own_sql_run(sql, 1, &type, &value, NULL, SPI_OK_SELECT) == 0)
		return false;
	row->id = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
										  &isnull));
	row->caps = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2,
											&isnull));
	SPI_freetuptable(SPI_tuptable);
	return true;
}

/*
 * Give the caps a number that no count has yet, if they were not the ones that were set
 * before: jobs were not counted under these until now
 */
static void
number_caps(const SettingTable *table, text *key, const SettingRow *row)
{
	Oid			types[] = {TEXTOID, INT8OID};
	Datum		values[] = {PointerGetDatum(key), (Datum) 0};
	char		nulls[] = {' ', row->caps == 0 ? 'n' : ' ', '\0'};
	uint64		number;

	do
	{
		if (!pg_strong_random(&number, sizeof(number)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate a random number")));
		number >>= 1;
	} while (number == 0);
	values[1] = Int64GetDatum((int64) number);
	(void) own_sql_run(psprintf("UPDATE defer.%s t SET cap = $2"
								" WHERE t.%s OPERATOR(pg_catalog.=) $1", table->name, table->key),
					   lengthof(types), types, values, nulls, SPI_OK_UPDATE);
	if (row->caps != 0)
		caps_made((int64) number);
}

/* Raise an error if the row has settings that make no sense together */
static void
check_order(const SettingTable *table, FunctionCallInfo fcinfo, int first, const SettingRow *row)
{
	if (row->strict && row->cancels)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"group_order\" cannot be \"strict\" where \"at_limit\" is \"cancel\""),
				 errhint("Jobs that wait for those before them would be cancelled.")));
	if (fcinfo != NULL && !row->strict &&
		!PG_ARGISNULL(setting_argument(table, first, "on_group_failure")))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"on_group_failure\" needs \"group_order\""),
				 errhint("Set group_order => 'strict', too.")));
}

bool
setting_values_write(const SettingTable *table, text *key, FunctionCallInfo fcinfo, int first,
					 bool reset, const bool *paused, SettingRow *row)
{
	Oid			types[NFIXED + MAX_COLUMNS] = {TEXTOID, BOOLOID, BOOLOID};
	Datum		values[NFIXED + MAX_COLUMNS];
	char		nulls[NFIXED + MAX_COLUMNS];
	StringInfoData sql;
	int32		caps;

	Assert(table->ncolumns <= MAX_COLUMNS);
	if (!read_row(table, key, row))
		return false;
	caps = row->caps;

	memset(nulls, ' ', sizeof(nulls));
	values[0] = PointerGetDatum(key);
	values[1] = BoolGetDatum(reset);
	values[2] = BoolGetDatum(paused != NULL && *paused);
	nulls[2] = paused != NULL ? ' ' : 'n';

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE defer.%s t SET paused = COALESCE($3, t.paused)", table->name);
	for (int i = 0; i < table->ncolumns; i++)
	{
		const char *column = table->columns[i].name;
		bool		given = fcinfo != NULL && !PG_ARGISNULL(first + i);
		int			n = NFIXED + i;

		types[n] = column_type(table->columns[i].type);
		values[n] = given ? setting_value(&table->columns[i], fcinfo, first + i) : (Datum) 0;
		nulls[n] = given ? ' ' : 'n';
		appendStringInfo(&sql, ", %s = CASE WHEN $2 THEN $%d ELSE COALESCE($%d, t.%s) END",
						 column, n + 1, n + 1, column);
	}
	appendStringInfo(&sql, " WHERE t.%s OPERATOR(pg_catalog.=) $1"
					 " RETURNING CASE WHEN t.paused THEN 0 ELSE COALESCE(t.concurrency, -1) END,"
					 " t.rate IS NOT NULL OR t.group_rate IS NOT NULL,"
					 " t.group_order IS NOT DISTINCT FROM 'strict', %s, " CAPS_SET("t"), table->key,
					 table->limit_kind == 'f' ? "t.at_limit IS NOT DISTINCT FROM 'cancel'" :
					 "false");
	if (own_sql_run(sql.data, NFIXED + table->ncolumns, types, values, nulls,
					SPI_OK_UPDATE_RETURNING) != 1)
		elog(ERROR, "row of defer.%s has gone", table->name);
	read_limit(row);
	SPI_freetuptable(SPI_tuptable);
	check_order(table, fcinfo, first, row);
	if (!row->strict)
		group_holds_delete(table->limit_kind, row->id);
	if (row->caps != caps)
		number_caps(table, key, row);

	settings_invalidate();
	xact_notify_limit(table->limit_kind, row->id, row->limit, row->rated);
	return true;
}
