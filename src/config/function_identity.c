/*
 * function_identity.c
 *		Settings of a function, and the function that they were made for.
 *
 * Settings are kept under the function's signature and outlive it: a function
 * that its owner drops and makes again, as a deployment may do, has the limits
 * that it had, and jobs that still wait for a paused function go on waiting.
 * But settings are those of an owner.  They end
 *
 *	- when another role makes a new function of that signature, or gives that to
 *	  one by ALTER FUNCTION: it is not paused, or limited, by what it knows
 *	  nothing of;
 *	- when the function has been gone for more than a day and neither a job nor
 *	  a schedule names it: the scheduler looks once a day.
 *
 * ALTER FUNCTION ... OWNER TO leaves them, and the scheduler notes the new owner.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/own_sql.h"
#include "config/function_identity.h"
#include "config/group_settings.h"
#include "config/settings_cache.h"
#include "config/settings_changes.h"
#include "function/function.h"
#include "shmem/xact_notify.h"

/* A function is gone for good after this */
#define GONE_AFTER	USECS_PER_DAY

static object_access_hook_type prev_object_access_hook = NULL;

/* ------------------------------------------------------------------------
 * New functions
 * ------------------------------------------------------------------------ */

/* Delete the settings, in SPI as the extension's owner; the limit goes at commit */
static void
delete_settings(const char *signature, int32 id)
{
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(signature);

	(void) own_sql_run("DELETE FROM defer.function f WHERE f.signature OPERATOR(pg_catalog.=) $1",
					   1, &type, &value, NULL, SPI_OK_DELETE);
	group_settings_delete('f', id);
	settings_invalidate();
	xact_notify_limit('f', id, -1, false);
	xact_notify_rescan();		/* jobs under it have no limit any more */
}

/*
 * Check whether defer.function is there, and the extension's own.  It is not
 * while that is being made
 */
static bool
settings_exist(void)
{
	Oid			schema = get_namespace_oid("defer", true);

	return OidIsValid(schema) && OidIsValid(get_relname_relid("function", schema)) &&
		catalog_installed();
}

/* The signature of a function before this command; NULL: it was not there */
static char *
signature_before(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	char	   *signature;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	signature = function_signature((Form_pg_proc) GETSTRUCT(tuple));
	ReleaseSysCache(tuple);
	return signature;
}

/*
 * The signature that this command has given to a function, whose row the caches do
 * not know yet; NULL: it had that before, and has only been replaced or the like.
 */
static char *
signature_given(Oid function, Oid *owner)
{
	char	   *before = signature_before(function);
	Relation	rel = table_open(ProcedureRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *signature = NULL;

	ScanKeyInit(&key, Anum_pg_proc_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(function));
	scan = systable_beginscan(rel, ProcedureOidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);

		*owner = form->proowner;
		signature = function_signature(form);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return signature != NULL && before != NULL && strcmp(signature, before) == 0 ? NULL : signature;
}

/* A function was made, renamed, or moved to another schema; or replaced, or changed */
static void
function_named(Oid function)
{
	const FunctionSettings *settings;
	Oid			owner;
	char	   *signature = signature_given(function, &owner);
	OwnSql		own;

	if (signature == NULL || !settings_exist())
		return;
	settings = function_settings(signature);
	if (!settings->found)
		return;
	if (settings->owner == owner)
	{
		if (settings->paused)
			ereport(NOTICE,
					(errmsg("function %s is paused, as the one before it was", signature),
					 errhint("To let its jobs run use defer.resume(%s).",
							 quote_literal_cstr(signature))));
		return;
	}
	own_sql_begin(&own);
	SPI_connect();
	delete_settings(signature, settings->id);
	SPI_finish();
	own_sql_end(&own);
}

static void
object_access(ObjectAccessType access, Oid class_id, Oid object, int sub_id, void *arg)
{
	if (prev_object_access_hook != NULL)
		prev_object_access_hook(access, class_id, object, sub_id, arg);
	if ((access == OAT_POST_CREATE || access == OAT_POST_ALTER) &&
		class_id == ProcedureRelationId)
		function_named(object);
}

void
function_identity_init(void)
{
	prev_object_access_hook = object_access_hook;
	object_access_hook = object_access;
}

/* ------------------------------------------------------------------------
 * Functions that are gone
 * ------------------------------------------------------------------------ */

/* What defer.function says of one function */
typedef struct SettingsOwner
{
	char	   *signature;
	Oid			owner;
	TimestampTz missing_since;	/* DT_NOEND: it is there */
} SettingsOwner;

/* Write owner and missing_since */
static void
write_owner(const SettingsOwner *row, Oid owner, TimestampTz missing_since)
{
	Oid			types[] = {TEXTOID, REGROLEOID, TIMESTAMPTZOID};
	Datum		values[] = {
		CStringGetTextDatum(row->signature), ObjectIdGetDatum(owner),
		TimestampTzGetDatum(missing_since)
	};
	char		nulls[] = {' ', ' ', missing_since == DT_NOEND ? 'n' : ' '};

	if (owner == row->owner && missing_since == row->missing_since)
		return;
	(void) own_sql_run("UPDATE defer.function f SET owner = $2, missing_since = $3"
					   " WHERE f.signature OPERATOR(pg_catalog.=) $1",
					   lengthof(types), types, values, nulls, SPI_OK_UPDATE);
	settings_invalidate();
}

static void
look_at(const SettingsOwner *row, TimestampTz now)
{
	FunctionEntry *entry = function_by_signature(row->signature);

	if (entry != NULL)
		write_owner(row, function_owner(entry->oid), DT_NOEND);
	else if (row->missing_since > now)
		write_owner(row, row->owner, now);
}

/* Note which functions are there */
static void
look_at_all(TimestampTz now)
{
	SPITupleTable *rows;
	uint64		n;

	/*
	 * those of commands and deliveries are no functions; no session is waited
	 * for
	 */
	n = own_sql_run("SELECT f.signature, f.owner, f.missing_since FROM defer.function f"
					" WHERE pg_catalog.right(f.signature, 1) OPERATOR(pg_catalog.=) ')'"
					" FOR UPDATE SKIP LOCKED",
					0, NULL, NULL, NULL, SPI_OK_SELECT);
	rows = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple	tuple = rows->vals[i];
		SettingsOwner row;
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		row.signature = SPI_getvalue(tuple, rows->tupdesc, 1);
		row.owner = DatumGetObjectId(SPI_getbinval(tuple, rows->tupdesc, 2, &isnull));
		row.missing_since = DatumGetTimestampTz(SPI_getbinval(tuple, rows->tupdesc, 3, &isnull));
		if (isnull)
			row.missing_since = DT_NOEND;
		look_at(&row, now);
	}
	SPI_freetuptable(rows);
}

void
function_identity_maintain(TimestampTz now)
{
	Oid			type = TIMESTAMPTZOID;
	Datum		value = TimestampTzGetDatum(now - GONE_AFTER);
	SPITupleTable *rows;
	uint64		n;
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	look_at_all(now);
	n = own_sql_run("SELECT f.signature, f.id FROM defer.function f"
					" WHERE f.missing_since OPERATOR(pg_catalog.<) $1"
					" AND NOT EXISTS (SELECT FROM defer.job j WHERE j.function OPERATOR(pg_catalog.=) f.signature)"
					" AND NOT EXISTS (SELECT FROM defer.schedule s WHERE s.function OPERATOR(pg_catalog.=) f.signature)"
					" FOR UPDATE OF f SKIP LOCKED",
					1, &type, &value, NULL, SPI_OK_SELECT);
	rows = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		delete_settings(SPI_getvalue(rows->vals[i], rows->tupdesc, 1),
						DatumGetInt32(SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull)));
	}
	SPI_finish();
	own_sql_end(&own);
}
