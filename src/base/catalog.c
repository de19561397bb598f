/*
 * catalog.c
 *		Where the extension's own objects are, who owns them, whether the database
 *		is the one that they were made in, and our own SQL under the owner's name.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

#include "base/callbacks.h"
#include "base/catalog.h"
#include "base/citus.h"
#include "base/table_check.h"

PG_FUNCTION_INFO_V1(defer_owner_only);

static const char *const object_names[CAT_N] = {
	[CAT_JOB] = "job",
	[CAT_JOB_PKEY] = "job_pkey",
	[CAT_JOB_CLAIM_IDX] = "job_claim_idx",
	[CAT_JOB_KEY_IDX] = "job_key_idx",
	[CAT_JOB_SCHEDULE_IDX] = "job_schedule_idx",
	[CAT_JOB_HELD_IDX] = "job_held_idx",
	[CAT_JOB_ORDER_IDX] = "job_order_idx",
	[CAT_JOB_ID_SEQ] = "job_id_seq",
	[CAT_KEY_HOLD] = "key_hold",
	[CAT_KEY_HOLD_PKEY] = "key_hold_pkey",
	[CAT_KEY_HOLD_UNTIL_IDX] = "key_hold_until_idx",
	[CAT_DEPENDENCY] = "dependency",
	[CAT_DEPENDENCY_AWAITS_IDX] = "dependency_awaits_idx",
	[CAT_DEPENDENCY_OPEN_IDX] = "dependency_open_idx",
	[CAT_DEPENDENCY_PKEY] = "dependency_pkey",
	[CAT_STEP] = "step",
	[CAT_STEP_PKEY] = "step_pkey",
	[CAT_EVENT] = "event",
	[CAT_EVENT_PKEY] = "event_pkey",
	[CAT_EVENT_KEY_IDX] = "event_key_idx",
	[CAT_SIGNAL] = "signal",
	[CAT_SIGNAL_PKEY] = "signal_pkey",
	[CAT_SIGNAL_KEY_IDX] = "signal_key_idx",
	[CAT_FAN_OUT] = "fan_out",
	[CAT_FAN_OUT_PKEY] = "fan_out_pkey",
	[CAT_FAN_OUT_DELTA] = "fan_out_delta",
	[CAT_CLAIM] = "claim",
	[CAT_CLAIM_PKEY] = "claim_pkey",
	[CAT_CLAIM_ID_SEQ] = "claim_id_seq",
	[CAT_HISTORY] = "job_history",
	[CAT_HISTORY_DEFAULT] = "job_history_default",
	[CAT_ATTEMPT_DEFAULT] = "attempt_default",
	[CAT_LOG_DEFAULT] = "log_default",
	[CAT_FUNCTION] = "function",
	[CAT_QUEUE] = "queue",
	[CAT_ENDPOINT] = "endpoint",
	[CAT_TASK] = "task",
	[CAT_SCHEDULE] = "schedule",
	[CAT_INSTALLATION] = "installation",
	[CAT_ORIGIN] = "origin",
	[CAT_FAILURE] = "failure",
	[CAT_ROLLUP_NEW] = "job_rollup_new",
	[CAT_ALERT] = "alert",
	[CAT_ALERT_EVENT] = "alert_event",
	[CAT_ALERT_FAILING] = "alert_failing",
	[CAT_SCHEDULE_RESULT] = "schedule_result",
	[CAT_GROUP_HOLD] = "group_hold",
};

static Oid	object_oids[CAT_N];
static Oid	owner = InvalidOid;

/* One of our relations has changed, or all of them may have */
static void
forget_objects(Oid relation)
{
	owner = InvalidOid;
	for (int i = 0; i < CAT_N; i++)
	{
		if (relation == InvalidOid || object_oids[i] == relation)
			object_oids[i] = InvalidOid;
	}
}

bool
catalog_installed(void)
{
	return OidIsValid(get_extension_oid("defer", true));
}

Oid
catalog_oid(CatalogObject which)
{
	Oid			schema;

	if (OidIsValid(object_oids[which]))
		return object_oids[which];

	defer_on_relcache_change(forget_objects);
	schema = get_namespace_oid("defer", true);
	if (OidIsValid(schema))
		object_oids[which] = get_relname_relid(object_names[which], schema);
	if (!OidIsValid(object_oids[which]))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"defer.%s\" does not exist", object_names[which]),
				 errhint("CREATE EXTENSION defer in this database, or ALTER EXTENSION defer UPDATE.")));
	return object_oids[which];
}

Oid
catalog_owner(void)
{
	if (!OidIsValid(owner))
	{
		Oid			relation = catalog_oid(CAT_JOB);
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for relation %u", relation);
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/*
 * Check whether the database is the node of Citus that a row of defer.installation says,
 * if it says one: a standby can become another node than its primary is.
 */
static bool
is_node(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		node = heap_getattr(tuple, 4, desc, &isnull);

	return isnull || !citus_here() || DatumGetInt32(node) == citus_node();
}

/*
 * Check whether the database is the one that the data were made in.  It is not
 * after a restore (other UUID in "origin"), as a template copy (other OID of
 * the database), as a node of Citus that was made of a standby of another one, or if
 * a subscription has copied the row of another installation beside ours.
 */
bool
catalog_is_active(void)
{
	static const char *const installation_columns[] = {"id", "database", "created_at", "node"};
	static const char *const origin_columns[] = {"id"};
	Relation	relation;
	SysScanDesc scan;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	HeapTuple	tuple;
	bool		active = false;
	int			ninstallations = 0;
	bool		isnull;
	pg_uuid_t	id = {0};

	relation = table_open(catalog_oid(CAT_INSTALLATION), AccessShareLock);
	table_check_columns(relation, installation_columns, lengthof(installation_columns));
	scan = systable_beginscan(relation, InvalidOid, false, snapshot, 0, NULL);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Datum		uuid = heap_getattr(tuple, 1, RelationGetDescr(relation), &isnull);
		Datum		database = heap_getattr(tuple, 2, RelationGetDescr(relation), &isnull);

		id = *DatumGetUUIDP(uuid);
		active = ++ninstallations == 1 && DatumGetObjectId(database) == MyDatabaseId &&
			is_node(tuple, RelationGetDescr(relation));
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);

	relation = table_open(catalog_oid(CAT_ORIGIN), AccessShareLock);
	table_check_columns(relation, origin_columns, lengthof(origin_columns));
	scan = systable_beginscan(relation, InvalidOid, false, snapshot, 0, NULL);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Datum		uuid = heap_getattr(tuple, 1, RelationGetDescr(relation), &isnull);

		if (memcmp(DatumGetUUIDP(uuid), &id, sizeof(pg_uuid_t)) != 0)
			active = false;
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	UnregisterSnapshot(snapshot);
	return active;
}

/*
 * Check for a template.  Templates are there to be copied, which is impossible
 * while a session is connected
 */
bool
catalog_database_is_template(Oid database)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	bool		template;

	if (!HeapTupleIsValid(tuple))
		return false;
	template = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
	ReleaseSysCache(tuple);
	return template;
}

/*
 * Rows of some tables name the role that something is done as, or the place
 * that secrets go to.  No right on them is granted, but a role with
 * pg_write_all_data could write them all the same, and so become any role.
 * Writes of our own code come by here as the owner of the extension, or not at
 * all (direct table access).
 */
Datum
defer_owner_only(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "defer.owner_only")));
	if (!has_privs_of_role(GetUserId(), catalog_owner()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table %s",
						RelationGetRelationName(((TriggerData *) fcinfo->context)->tg_relation)),
				 errdetail("Only superusers and the owner of the extension write it; pg_write_all_data is not enough."),
				 errhint("Use the functions of the schema defer.")));
	return PointerGetDatum(NULL);
}
