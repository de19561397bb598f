/*
 * activate.c
 *		Copies of a database: how they are told apart, and how they are set free.
 *
 * defer.installation says which installation this database is, and is never
 * dumped; defer.origin says which installations the data come from, and is.
 * A restored dump brings a foreign row in defer.origin, a template copy has
 * another OID than defer.installation says: either keeps everything still
 * until defer.activate() (see catalog_is_active()).
 *
 * That alone leaves a gap: a restore loads tables in any order, each in its
 * own transaction, so that jobs may be there for hours before the row of
 * defer.origin is.  Hence a trigger on all tables that are dumped: rows that come
 * in as a restore brings them put a row into defer.origin themselves, in the same
 * transaction, and the commit tells the scheduler, which leaves.  So neither is a
 * job run, nor a row removed because what it belongs to is not there yet.  Our own
 * code writes jobs without triggers, and the others as own SQL, which the trigger
 * tells from a restore.
 *
 * A subscription goes on writing after defer.activate(), and its workers run with
 * session_replication_role = replica: a trigger of its own, for each row, fires only
 * there, and holds the database back again.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/pquery.h"
#include "utils/acl.h"
#include "utils/guc.h"

#include "base/catalog.h"
#include "base/citus.h"
#include "base/own_sql.h"
#include "shmem/caps.h"
#include "shmem/preload.h"
#include "shmem/xact_notify.h"
#include "table/event_table.h"
#include "table/rollup.h"
#include "lifecycle/lifecycle.h"

PG_FUNCTION_INFO_V1(defer_activate);
PG_FUNCTION_INFO_V1(defer_note_restore);

/*
 * Check whether this statement looks like one of a restore.  COPY is never
 * used by anything of ours; dumps made of INSERTs switch check_function_bodies
 * off.  What copies rows from another server says that it is a replica.
 */
static bool
is_restore(void)
{
	if (InLocalUserIdChange() || creating_extension)
		return false;			/* own SQL, and that of an update */
	return SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA || !check_function_bodies ||
		(ActivePortal != NULL && ActivePortal->commandTag == CMDTAG_COPY);
}

Datum
defer_note_restore(PG_FUNCTION_ARGS)
{
	OwnSql		own;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", "defer.note_restore")));
	if (!is_restore())
		return PointerGetDatum(NULL);
	xact_notify_rescan();
	if (!catalog_is_active())
		return PointerGetDatum(NULL);

	own_sql_begin(&own);
	SPI_connect();
	own_sql_execute("INSERT INTO defer.origin (id) SELECT pg_catalog.gen_random_uuid()", SPI_OK_INSERT);
	SPI_finish();
	own_sql_end(&own);
	return PointerGetDatum(NULL);
}

/* Ids of jobs that this server may have given out, between $1 and $2 */
#define OF_NODE(id) id " OPERATOR(pg_catalog.>) $1 AND " id " OPERATOR(pg_catalog.<) $2"

/* Jobs that had ended in a batch: their rows go, and they are counted, as by job/recovery.c */
static void
end_unfinalized(void)
{
	SPITupleTable *rows;
	uint64		n;

	own_sql_execute("SELECT j.id, j.fan_out_id FROM defer.job j WHERE j.claim IS NOT NULL AND EXISTS"
					" (SELECT FROM defer.job_history h WHERE h.id OPERATOR(pg_catalog.=) j.id)",
					SPI_OK_SELECT);
	rows = SPI_tuptable;
	n = SPI_processed;
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		Job			job = {0};

		job.id = DatumGetInt64(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull));
		job.fan_out_id = DatumGetInt64(SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull));
		(void) rollup_delete_ended(&job, rollup_add);
	}
}

/*
 * Move the sequences behind the ids that the data have.  A dump brings its sequences
 * along, a subscription does not.  Numbers of functions, queues and endpoints are
 * looked for until one is free.
 */
static void
move_sequences(void)
{
	static const char *const names[] = {"alert", "backfill", "bulk", "claim", "schedule", "signal"};
	const int64 before = citus_node() * CITUS_NODE_IDS;
	Oid			types[] = {INT8OID, INT8OID};
	Datum		values[] = {Int64GetDatum(before), Int64GetDatum(before + CITUS_NODE_IDS)};

	for (int i = 0; i < lengthof(names); i++)
		own_sql_execute(psprintf("SELECT pg_catalog.setval('defer.%1$s_id_seq', m.id)"
								 " FROM (SELECT pg_catalog.max(t.id) AS id FROM defer.%1$s t) m, defer.%1$s_id_seq s"
								 " WHERE m.id OPERATOR(pg_catalog.>) s.last_value", names[i]),
						SPI_OK_SELECT);
	(void) own_sql_run("SELECT pg_catalog.setval('defer.job_id_seq', m.id OPERATOR(pg_catalog.-) $1)"
					   " FROM (SELECT GREATEST((SELECT pg_catalog.max(j.id) FROM defer.job j WHERE " OF_NODE("j.id") "),"
					   " (SELECT pg_catalog.max(h.id) FROM defer.job_history h WHERE " OF_NODE("h.id") ")) AS id) m,"
					   " defer.job_id_seq s WHERE m.id OPERATOR(pg_catalog.-) $1 OPERATOR(pg_catalog.>) s.last_value",
					   lengthof(types), types, values, NULL, SPI_OK_SELECT);
}

/*
 * Make the data those of this database.  Jobs that workers had taken when the
 * copy was made have no worker here; jobs that had ended in a batch are taken
 * out of it.  Times that passed while nothing fired are not caught up: the
 * scheduler begins each schedule anew from now.
 */
static void
adopt_data(void)
{
	move_sequences();
	end_unfinalized();
	own_sql_execute("UPDATE defer.job SET claim = NULL WHERE claim IS NOT NULL", SPI_OK_UPDATE);
	own_sql_execute("DELETE FROM defer.claim", SPI_OK_DELETE);
	caps_forget_all();			/* a restore has written rows itself */
	own_sql_execute("UPDATE defer.schedule SET next_tick = NULL, next_run_at = NULL", SPI_OK_UPDATE);
	event_rekey();
	own_sql_execute("DELETE FROM defer.installation", SPI_OK_DELETE);
	own_sql_execute("DELETE FROM defer.origin", SPI_OK_DELETE);
	own_sql_execute("INSERT INTO defer.installation (id, database)"
					" SELECT pg_catalog.gen_random_uuid(), d.oid FROM pg_catalog.pg_database d"
					" WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()",
					SPI_OK_INSERT);
	own_sql_execute("INSERT INTO defer.origin (id) SELECT i.id FROM defer.installation i", SPI_OK_INSERT);
}

void
activate_note_node(void)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(citus_node())};
	OwnSql		own;

	if (citus_node() == 0)
		return;
	own_sql_begin(&own);
	SPI_connect();
	(void) own_sql_run("UPDATE defer.installation SET node = $1 WHERE node IS NULL",
					   lengthof(types), types, values, NULL, SPI_OK_UPDATE);
	SPI_finish();
	own_sql_end(&own);
}

Datum
defer_activate(PG_FUNCTION_ARGS)
{
	OwnSql		own;
	bool		active;

	if (!has_privs_of_role(GetUserId(), catalog_owner()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to activate defer in this database"),
				 errhint("Only a superuser or the owner of the extension may.")));
	PreventCommandDuringRecovery("defer.activate()");
	warn_if_not_preloaded();

	own_sql_begin(&own);
	SPI_connect();

	/* Of two at the same time the second finds it done; views go on */
	own_sql_execute("LOCK TABLE defer.installation IN SHARE ROW EXCLUSIVE MODE", SPI_OK_UTILITY);
	active = catalog_is_active();
	if (!active)
		adopt_data();
	SPI_finish();
	own_sql_end(&own);

	if (active)
		ereport(NOTICE,
				(errmsg("defer is active in this database already")));
	else
	{
		xact_notify_installed();
		xact_notify_rescan();
	}
	PG_RETURN_VOID();
}
