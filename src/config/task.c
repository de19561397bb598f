/*
 * task.c
 *		Tasks: making, changing and dropping them, and who may use them.
 *
 * A task belongs to the role that made it.  That role, and those that it grants
 * a right to, can enqueue jobs of it or work on them.  Names are unique in the
 * database, so making tasks is for roles that the administrator has granted that
 * to: a name that one role takes is taken from all.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/job_kind.h"
#include "base/own_sql.h"
#include "base/roles.h"
#include "config/group_settings.h"
#include "config/json_schema.h"
#include "config/quota.h"
#include "config/setting_target.h"
#include "config/settings_cache.h"
#include "config/settings_changes.h"
#include "config/task.h"
#include "shmem/limits.h"
#include "shmem/preload.h"
#include "shmem/xact_notify.h"

PG_FUNCTION_INFO_V1(defer_create_task);
PG_FUNCTION_INFO_V1(defer_alter_task);
PG_FUNCTION_INFO_V1(defer_drop_task);
PG_FUNCTION_INFO_V1(defer_grant_task);
PG_FUNCTION_INFO_V1(defer_revoke_task);
PG_FUNCTION_INFO_V1(defer_grant_tasks);
PG_FUNCTION_INFO_V1(defer_revoke_tasks);

/* Longest name, in bytes */
#define NAME_BYTES	200

/* Run a statement on the tables of tasks; returns the number of its rows */
static uint64
run(const char *sql, int n, Oid *types, Datum *values, const char *nulls, int expected)
{
	OwnSql		own;
	uint64		rows;

	own_sql_begin(&own);
	SPI_connect();
	rows = own_sql_run(sql, n, types, values, nulls, expected);
	SPI_finish();
	own_sql_end(&own);
	return rows;
}

/* ------------------------------------------------------------------------
 * Rights
 * ------------------------------------------------------------------------ */

void
task_check_owner(const char *name, Oid owner)
{
	if (!role_may_manage(owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of task \"%s\"", name)));
}

/* The task that an argument names, which must be the current user's */
static const TaskSettings *
own_task(FunctionCallInfo fcinfo)
{
	char	   *name = args_required_text(fcinfo, 0, "name");
	const TaskSettings *task = task_find(name);

	if (task == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("task \"%s\" does not exist", name),
				 errhint("Make it with defer.create_task().")));
	task_check_owner(name, task->owner);
	return task;
}

/* Whether superuser, owner of the database, or a role that tasks were granted to */
static bool
may_create(Oid role)
{
	uint64		n;
	bool		may = false;
	OwnSql		own;

	if (compat_owns_database(MyDatabaseId, role))
		return true;
	own_sql_begin(&own);
	SPI_connect();
	n = own_sql_run("SELECT r.role FROM defer.task_creator r", 0, NULL, NULL, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < n && !may; i++)
	{
		bool		isnull;
		Oid			granted = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i],
															 SPI_tuptable->tupdesc, 1, &isnull));

		may = !OidIsValid(granted) || has_privs_of_role(role, granted);
	}
	SPI_finish();
	own_sql_end(&own);
	return may;
}

static void
check_may_create(Oid role)
{
	if (!may_create(role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to create tasks"),
				 errhint("The owner of the database can allow it with defer.grant_tasks().")));
}

/* ------------------------------------------------------------------------
 * Make and change
 * ------------------------------------------------------------------------ */

/* Raise an error unless a name is one for a task: not a signature, nor one of ours */
static void
check_name(const char *name)
{
	args_check_name("task", name, NAME_BYTES);
	if (strpbrk(name, "()\"") != NULL || strncmp(name, "defer.", strlen("defer.")) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("invalid name of a task: \"%s\"", name),
				 errhint("It has no parentheses or double quotes, and does not begin with \"defer.\".")));
}

static void
already_exists(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("task \"%s\" already exists", name),
			 errhint("Change it with defer.configure() and defer.alter_task().")));
}

/* defer.create_task(name, the settings of defer.configure(), schema) */
Datum
defer_create_task(PG_FUNCTION_ARGS)
{
	char	   *name = args_required_text(fcinfo, 0, "name");
	SettingTarget target = {PG_GETARG_TEXT_PP(0), GetUserId()};
	Oid			types[] = {TEXTOID, REGROLEOID, JSONBOID};
	Datum		values[] = {PointerGetDatum(target.signature), ObjectIdGetDatum(target.owner), 0};
	char		nulls[] = "  n";
	const int	schema = setting_target_arguments();	/* it is behind the
														 * settings */

	PreventCommandIfReadOnly("defer.create_task()");
	check_name(name);
	check_may_create(target.owner);
	if (!PG_ARGISNULL(schema))
	{
		json_schema_validate(PG_GETARG_JSONB_P(schema));
		values[2] = PG_GETARG_DATUM(schema);
		nulls[2] = ' ';
	}
	warn_if_not_preloaded();
	if (task_find(name) != NULL)
		already_exists(name);
	quota_check("task", "tasks", target.owner);
	if (run("INSERT INTO defer.task (name, owner, schema) VALUES ($1, $2, $3)"
			" ON CONFLICT (name) DO NOTHING",
			lengthof(types), types, values, nulls, SPI_OK_INSERT) != 1)
		already_exists(name);
	setting_target_write(&target, fcinfo);
	PG_RETURN_VOID();
}

/* defer.alter_task(name, schema) */
Datum
defer_alter_task(PG_FUNCTION_ARGS)
{
	const TaskSettings *task = own_task(fcinfo);
	Oid			types[] = {TEXTOID, JSONBOID};
	Datum		values[] = {CStringGetTextDatum(task->name), 0};
	char		nulls[] = " n";

	if (!PG_ARGISNULL(1))
	{
		json_schema_validate(PG_GETARG_JSONB_P(1));
		values[1] = PG_GETARG_DATUM(1);
		nulls[1] = ' ';
	}
	(void) run("UPDATE defer.task t SET schema = $2 WHERE t.name OPERATOR(pg_catalog.=) $1",
			   lengthof(types), types, values, nulls, SPI_OK_UPDATE);
	settings_invalidate();
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------------
 * Drop
 * ------------------------------------------------------------------------ */

/* Raise an error if jobs that are not finished or schedules are of the task */
static void
check_unused(const char *name, Oid *types, Datum *values)
{
	const char *who = NULL;

	if (run("SELECT FROM defer.job j WHERE j.function OPERATOR(pg_catalog.=) $1 LIMIT 1",
			1, types, values, NULL, SPI_OK_SELECT) > 0)
		who = "jobs that are not finished";
	else if (run("SELECT FROM defer.schedule s WHERE s.function OPERATOR(pg_catalog.=) $1 LIMIT 1",
				 1, types, values, NULL, SPI_OK_SELECT) > 0)
		who = "schedules";
	if (who != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("task \"%s\" cannot be dropped because it is in use", name),
				 errdetail("There are %s of it.", who),
				 errhint("Remove its schedules, and wait until its jobs are finished or cancel them, as with defer.cancel_jobs().")));
}

/* defer.drop_task(name) */
Datum
defer_drop_task(PG_FUNCTION_ARGS)
{
	char	   *name = args_required_text(fcinfo, 0, "name");
	const TaskSettings *task = task_find(name);
	int32		id = function_settings(name)->id;
	Oid			types[] = {TEXTOID};
	Datum		values[] = {PG_GETARG_DATUM(0)};
	OwnSql		own;

	if (task == NULL)
		PG_RETURN_BOOL(false);
	task_check_owner(name, task->owner);

	/* no job of it is enqueued meanwhile; others that are see that it is gone */
	task_lock_name(name, AccessExclusiveLock);
	if (run("DELETE FROM defer.task t WHERE t.name OPERATOR(pg_catalog.=) $1",
			1, types, values, NULL, SPI_OK_DELETE) == 0)
		PG_RETURN_BOOL(false);
	check_unused(name, types, values);
	own_sql_begin(&own);
	SPI_connect();
	(void) own_sql_run("DELETE FROM defer.function f WHERE f.signature OPERATOR(pg_catalog.=) $1",
					   1, types, values, NULL, SPI_OK_DELETE);
	group_settings_delete('f', id);
	SPI_finish();
	own_sql_end(&own);
	settings_invalidate();
	xact_notify_limit('f', id, LIMIT_NONE, false);
	PG_RETURN_BOOL(true);
}

/* ------------------------------------------------------------------------
 * Grant
 * ------------------------------------------------------------------------ */

/* A role by its name as it is, InvalidOid for "public" */
static Datum
role_argument(FunctionCallInfo fcinfo, int n)
{
	char	   *role = args_required_text(fcinfo, n, "role");

	return ObjectIdGetDatum(strcmp(role, "public") == 0 ? InvalidOid : get_role_oid(role, false));
}

/* The right that is named by an argument */
static TaskRight
right_argument(FunctionCallInfo fcinfo)
{
	char	   *right = args_required_text(fcinfo, 2, "right");

	if (strcmp(right, "enqueue") == 0)
		return TASK_ENQUEUE;
	if (strcmp(right, "work") == 0)
		return TASK_WORK;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"right\": \"%s\"", right),
			 errhint("Use enqueue or work.")));
}

static void
change_grant(FunctionCallInfo fcinfo, bool grant)
{
	static const char *const columns[] = {
		[TASK_ENQUEUE] = "enqueue_roles",
		[TASK_WORK] = "work_roles"
	};
	const TaskSettings *task = own_task(fcinfo);
	const char *column = columns[right_argument(fcinfo)];
	Oid			types[] = {TEXTOID, REGROLEOID};
	Datum		values[] = {CStringGetTextDatum(task->name), role_argument(fcinfo, 1)};

	/* a role is not granted twice */
	(void) run(psprintf("UPDATE defer.task t SET %s = pg_catalog.array_remove(t.%s, $2)"
						" WHERE t.name OPERATOR(pg_catalog.=) $1", column, column),
			   lengthof(types), types, values, NULL, SPI_OK_UPDATE);
	if (grant)
		(void) run(psprintf("UPDATE defer.task t SET %s = pg_catalog.array_append(t.%s, $2)"
							" WHERE t.name OPERATOR(pg_catalog.=) $1", column, column),
				   lengthof(types), types, values, NULL, SPI_OK_UPDATE);
	settings_invalidate();
}

/* defer.grant_task(name, role, right) */
Datum
defer_grant_task(PG_FUNCTION_ARGS)
{
	change_grant(fcinfo, true);
	PG_RETURN_VOID();
}

/* defer.revoke_task(name, role, right) */
Datum
defer_revoke_task(PG_FUNCTION_ARGS)
{
	change_grant(fcinfo, false);
	PG_RETURN_VOID();
}

/* Run one of the two statements below, for the owner of the database */
static void
change_creators(FunctionCallInfo fcinfo, const char *sql, int expected)
{
	Oid			type = REGROLEOID;
	Datum		value;

	require_argument(fcinfo, 0, "role");
	if (!compat_owns_database(MyDatabaseId, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to say who may create tasks"),
				 errdetail("Only superusers and the owner of the database can.")));
	value = role_argument(fcinfo, 0);
	(void) run(sql, 1, &type, &value, NULL, expected);
}

/* defer.grant_tasks(role) */
Datum
defer_grant_tasks(PG_FUNCTION_ARGS)
{
	change_creators(fcinfo, "INSERT INTO defer.task_creator (role) VALUES ($1)"
					" ON CONFLICT (role) DO NOTHING", SPI_OK_INSERT);
	PG_RETURN_VOID();
}

/* defer.revoke_tasks(role) */
Datum
defer_revoke_tasks(PG_FUNCTION_ARGS)
{
	change_creators(fcinfo, "DELETE FROM defer.task_creator r"
					" WHERE r.role OPERATOR(pg_catalog.=) $1", SPI_OK_DELETE);
	PG_RETURN_VOID();
}
