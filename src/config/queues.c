/*
 * queues.c
 *		Queues: making, changing and dropping them, who may use them, pause.
 *
 * A queue belongs to the role that made it, and only that role, those it has
 * been granted to, and their members, may put jobs into it.  Changing it is
 * for the owner.  Pausing it is for those it was granted to by name, too: not
 * for everybody, even if everybody may use it.
 *
 * The queue "default" is there without a row and open to all.  A row is made
 * when it first gets settings or is paused; that is for superusers and the
 * owner of the database.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/job_kind.h"
#include "base/own_sql.h"
#include "base/roles.h"
#include "config/quota.h"
#include "shmem/limits.h"
#include "shmem/preload.h"
#include "shmem/xact_notify.h"
#include "config/group_settings.h"
#include "config/setting_target.h"
#include "config/setting_values.h"
#include "config/settings_changes.h"

PG_FUNCTION_INFO_V1(defer_create_queue);
PG_FUNCTION_INFO_V1(defer_alter_queue);
PG_FUNCTION_INFO_V1(defer_drop_queue);
PG_FUNCTION_INFO_V1(defer_grant_queue);
PG_FUNCTION_INFO_V1(defer_revoke_queue);
PG_FUNCTION_INFO_V1(defer_pause_queue);
PG_FUNCTION_INFO_V1(defer_resume_queue);

/* In the order of the parameters of create_queue and alter_queue, after the name */
static const SettingColumn queue_columns[] = {
	{"concurrency", SETTING_CONCURRENCY},
	{"priority", SETTING_PRIORITY},
	{"max_attempts", SETTING_COUNT},
	{"initial_interval", SETTING_TIME},
	{"multiplier", SETTING_FACTOR},
	{"max_interval", SETTING_TIME},
	{"randomization", SETTING_SHARE},
	{"max_duration", SETTING_TIME},
	{"discard_after", SETTING_TIME_NOT_0},
	{"group_by", SETTING_GROUP_BY},
	{"group_concurrency", SETTING_CONCURRENCY},
	{"rate", SETTING_RATE},
	{"rate_burst", SETTING_BURST},
	{"group_rate", SETTING_RATE},
	{"group_rate_burst", SETTING_BURST},
	{"group_order", SETTING_ORDER},
	{"on_group_failure", SETTING_ON_FAILURE},
	{"reserved", SETTING_RESERVED},
	{"max_queued", SETTING_CAP},
	{"group_max_queued", SETTING_CAP},
};


static const SettingTable queue_table = {
	.name = "queue",
	.key = "name",
	.limit_kind = 'q',
	.ncolumns = lengthof(queue_columns),
	.columns = queue_columns,
};

static bool
is_default(const char *name)
{
	return strcmp(name, DEFAULT_QUEUE) == 0;
}

static text *
queue_argument(FunctionCallInfo fcinfo)
{
	require_argument(fcinfo, 0, "name");
	return PG_GETARG_TEXT_PP(0);
}

/* ------------------------------------------------------------------------
 * Rights
 * ------------------------------------------------------------------------ */

static bool
granted_by_name(const QueueSettings *queue, Oid role)
{
	for (int i = 0; i < queue->ngranted; i++)
	{
		if (OidIsValid(queue->granted[i]) && has_privs_of_role(role, queue->granted[i]))
			return true;
	}
	return false;
}

void
queue_check_may_change(const char *name, bool to_pause)
{
	const QueueSettings *queue = queue_settings(name);

	if (is_default(name))
	{
		if (!compat_owns_database(MyDatabaseId, GetUserId()))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied for queue \"%s\"", name),
					 errdetail("Only superusers and the owner of the database can change it."),
					 errhint("Make a queue of your own with defer.create_queue().")));
		return;
	}
	if (!queue->found)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("queue \"%s\" does not exist", name),
				 errhint("Make it with defer.create_queue().")));
	if (!role_may_manage(queue->owner) &&
		!(to_pause && granted_by_name(queue, GetUserId())))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of queue \"%s\"", name),
				 to_pause ?
				 errdetail("Roles that the queue was granted to by name can pause it, too.") : 0));
}

/* ------------------------------------------------------------------------
 * Make and change
 * ------------------------------------------------------------------------ */

/* Insert a row of the current user; false: there is one of that name */
static bool
insert_queue(text *name, Oid owner)
{
	Oid			types[] = {TEXTOID, REGROLEOID, INT4OID};
	Datum		values[] = {PointerGetDatum(name), ObjectIdGetDatum(owner), (Datum) 0};

	/* look first: what fails must not use up numbers */
	if (own_sql_run("SELECT FROM defer.queue q WHERE q.name OPERATOR(pg_catalog.=) $1",
					1, types, values, NULL, SPI_OK_SELECT) > 0)
		return false;
	quota_check("queue", "queues", owner);
	values[2] = Int32GetDatum(setting_unused_id(&queue_table));
	return own_sql_run("INSERT INTO defer.queue (name, owner, id) VALUES ($1, $2, $3)"
					   " ON CONFLICT (name) DO NOTHING",
					   3, types, values, NULL, SPI_OK_INSERT) == 1;
}

/* defer.create_queue(name, concurrency, priority, ...) */
Datum
defer_create_queue(PG_FUNCTION_ARGS)
{
	text	   *name = queue_argument(fcinfo);
	Oid			user = GetUserId();
	SettingRow	row;
	OwnSql		own;

	args_check_name("queue", text_to_cstring(name), NAMEDATALEN - 1);
	setting_values_check(&queue_table, fcinfo, 1);
	warn_if_not_preloaded();

	own_sql_begin(&own);
	SPI_connect();
	if (is_default(text_to_cstring(name)) || !insert_queue(name, user) ||
		!setting_values_write(&queue_table, name, fcinfo, 1, false, NULL, &row))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("queue \"%s\" already exists", text_to_cstring(name)),
				 errhint("Change it with defer.alter_queue().")));
	SPI_finish();
	own_sql_end(&own);
	if (!PG_ARGISNULL(setting_argument(&queue_table, 1, "reserved")))
		xact_notify_rescan();
	PG_RETURN_VOID();
}

/* Write settings or "paused"; the current user may.  Returns the row's number */
static int32
write_queue(text *name, FunctionCallInfo fcinfo, bool reset, const bool *paused)
{
	Oid			user = GetUserId();
	bool		done;
	SettingRow	row;
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	done = setting_values_write(&queue_table, name, fcinfo, 1, reset, paused, &row);
	if (!done && is_default(text_to_cstring(name)))
	{
		(void) insert_queue(name, user);
		done = setting_values_write(&queue_table, name, fcinfo, 1, reset, paused, &row);
	}
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("queue \"%s\" was changed by another session", text_to_cstring(name)),
				 errhint("Try again.")));
	SPI_finish();
	own_sql_end(&own);
	return row.id;
}

int32
queue_row_id(text *name)
{
	return write_queue(name, NULL, false, NULL);
}

/* defer.alter_queue(name, concurrency, priority, ..., reset) */
Datum
defer_alter_queue(PG_FUNCTION_ARGS)
{
	int			reset_at = 1 + queue_table.ncolumns;
	bool		reset = !PG_ARGISNULL(reset_at) && PG_GETARG_BOOL(reset_at);
	text	   *name = queue_argument(fcinfo);
	const bool	reserved = !PG_ARGISNULL(setting_argument(&queue_table, 1, "reserved")) ||
		(reset && queue_settings(text_to_cstring(name))->reserved > 0);

	queue_check_may_change(text_to_cstring(name), false);
	if (!setting_values_check(&queue_table, fcinfo, 1) && !reset)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no setting is given"),
				 errhint("Name what to change, as in concurrency => 3; reset => true takes all settings back.")));
	(void) write_queue(name, fcinfo, reset, NULL);
	if (reserved)
		xact_notify_rescan();
	PG_RETURN_VOID();
}

static void
set_paused(FunctionCallInfo fcinfo, bool paused)
{
	text	   *name = queue_argument(fcinfo);

	queue_check_may_change(text_to_cstring(name), true);
	(void) write_queue(name, NULL, false, &paused);
}

/* defer.pause_queue(name) */
Datum
defer_pause_queue(PG_FUNCTION_ARGS)
{
	set_paused(fcinfo, true);
	PG_RETURN_VOID();
}

/* defer.resume_queue(name) */
Datum
defer_resume_queue(PG_FUNCTION_ARGS)
{
	set_paused(fcinfo, false);
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------------
 * Drop
 * ------------------------------------------------------------------------ */

/*
 * Return what still needs the queue, or NULL if it is not needed.  A row of
 * defer.job may be that of a job that has finished: then it has a row in the
 * history.
 */
static const char *
queue_needed_by(text *name)
{
	static const struct
	{
		const char *who;
		const char *sql;
	}			users[] = {
		{"jobs that are not finished",
			"SELECT FROM defer.job j WHERE j.queue OPERATOR(pg_catalog.=) $1"
			" AND (j.claim IS NULL OR NOT EXISTS (SELECT FROM defer.job_history h"
		" WHERE h.id OPERATOR(pg_catalog.=) j.id)) LIMIT 1"},
		{"schedules",
		"SELECT FROM defer.schedule s WHERE s.queue OPERATOR(pg_catalog.=) $1 LIMIT 1"},
		{"settings of functions",
		"SELECT FROM defer.function f WHERE f.queue OPERATOR(pg_catalog.=) $1 LIMIT 1"},
	};
	Oid			type = TEXTOID;
	Datum		value = PointerGetDatum(name);

	for (int i = 0; i < lengthof(users); i++)
	{
		if (own_sql_run(users[i].sql, 1, &type, &value, NULL, SPI_OK_SELECT) > 0)
			return users[i].who;
	}
	return NULL;
}

/*
 * defer.drop_queue(name)
 *
 * A job that another transaction is just putting into the queue is not seen.
 * It then runs with the default settings: that is better than to make all
 * enqueues wait for each other here.
 */
Datum
defer_drop_queue(PG_FUNCTION_ARGS)
{
	text	   *name = queue_argument(fcinfo);
	char	   *cname = text_to_cstring(name);
	int32		id = queue_settings(cname)->id;
	bool		reserved = queue_settings(cname)->reserved > 0;
	Oid			type = TEXTOID;
	Datum		value = PointerGetDatum(name);
	const char *needed_by;
	uint64		deleted;
	OwnSql		own;

	if (is_default(cname))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("queue \"%s\" cannot be dropped", cname),
				 errhint("To take its settings back use defer.alter_queue() with reset => true.")));
	if (!queue_settings(cname)->found)
		PG_RETURN_BOOL(false);
	queue_check_may_change(cname, false);

	own_sql_begin(&own);
	SPI_connect();
	/* first, so that the queue does not change meanwhile */
	deleted = own_sql_run("DELETE FROM defer.queue q WHERE q.name OPERATOR(pg_catalog.=) $1",
						  1, &type, &value, NULL, SPI_OK_DELETE);
	needed_by = queue_needed_by(name);
	if (needed_by != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("queue \"%s\" cannot be dropped because it is in use", cname),
				 errdetail("There are %s that name it.", needed_by),
				 errhint("Wait until its jobs are finished or cancel them, and let schedules and functions use another queue.")));
	group_settings_delete('q', id);
	SPI_finish();
	own_sql_end(&own);

	settings_invalidate();
	xact_notify_limit('q', id, LIMIT_NONE, false);
	if (reserved)
		xact_notify_rescan();
	PG_RETURN_BOOL(deleted > 0);
}

/* ------------------------------------------------------------------------
 * Grant
 * ------------------------------------------------------------------------ */

/* Run one of the two statements below: $1 the queue, $2 the role (0: everybody) */
static void
change_grant(FunctionCallInfo fcinfo, const char *sql)
{
	text	   *name = queue_argument(fcinfo);
	char	   *cname = text_to_cstring(name);
	Oid			types[] = {TEXTOID, REGROLEOID};
	Datum		values[2];
	char	   *role;
	OwnSql		own;

	require_argument(fcinfo, 1, "role");
	role = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (is_default(cname))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("queue \"%s\" is open to every role", cname),
				 errhint("Make another queue with defer.create_queue() for what only some roles may do.")));
	queue_check_may_change(cname, false);
	values[0] = PointerGetDatum(name);
	values[1] = ObjectIdGetDatum(strcmp(role, "public") == 0 ? InvalidOid :
								 get_role_oid(role, false));

	own_sql_begin(&own);
	SPI_connect();
	(void) own_sql_run(sql, 2, types, values, NULL, SPI_OK_UPDATE);
	SPI_finish();
	own_sql_end(&own);
	settings_invalidate();
}

/* defer.grant_queue(name, role) */
Datum
defer_grant_queue(PG_FUNCTION_ARGS)
{
	change_grant(fcinfo,
				 "UPDATE defer.queue q SET granted = pg_catalog.array_append(q.granted, $2)"
				 " WHERE q.name OPERATOR(pg_catalog.=) $1"
				 " AND NOT ($2 OPERATOR(pg_catalog.=) ANY (q.granted))");
	PG_RETURN_VOID();
}

/* defer.revoke_queue(name, role) */
Datum
defer_revoke_queue(PG_FUNCTION_ARGS)
{
	change_grant(fcinfo,
				 "UPDATE defer.queue q SET granted = pg_catalog.array_remove(q.granted, $2)"
				 " WHERE q.name OPERATOR(pg_catalog.=) $1");
	PG_RETURN_VOID();
}
