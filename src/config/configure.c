/*
 * configure.c
 *		Settings of functions: defer.configure(), defer.pause(), defer.resume().
 *
 * A function's settings are a row under its signature; it is made by the
 * first call and stays, even if all of it is reset: jobs carry its number in
 * job.limits_key.  They belong to the function's owner, so that no role can slow
 * down or stop the jobs of others.  They outlive the function (see
 * function_identity.c): while it is gone, its owner of then can still change them,
 * named by the signature as it is stored.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/job_kind.h"
#include "base/own_sql.h"
#include "base/roles.h"
#include "shmem/preload.h"
#include "function/function.h"
#include "config/group_by.h"
#include "config/job_target.h"
#include "config/quota.h"
#include "config/setting_target.h"
#include "config/setting_values.h"
#include "config/task.h"

PG_FUNCTION_INFO_V1(defer_configure);
PG_FUNCTION_INFO_V1(defer_pause);
PG_FUNCTION_INFO_V1(defer_resume);

/* In the order of the parameters of defer.configure(), after the function */
static const SettingColumn function_columns[] = {
	{"queue", SETTING_QUEUE},
	{"priority", SETTING_PRIORITY},
	{"max_attempts", SETTING_COUNT},
	{"initial_interval", SETTING_TIME},
	{"multiplier", SETTING_FACTOR},
	{"max_interval", SETTING_TIME},
	{"randomization", SETTING_SHARE},
	{"concurrency", SETTING_CONCURRENCY},
	{"at_limit", SETTING_AT_LIMIT},
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
	{"max_queued", SETTING_CAP},
	{"group_max_queued", SETTING_CAP},
};

static const SettingTable function_table = {
	.name = "function",
	.key = "signature",
	.limit_kind = 'f',
	.ncolumns = lengthof(function_columns),
	.columns = function_columns,
};

/* A command or a delivery: the administrator's to configure */
static void
check_ours(const char *name, SettingTarget *target)
{
	target->owner = catalog_owner();
	if (!has_privs_of_role(GetUserId(), target->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of extension defer to configure %s", name),
				 errhint("Settings of a single job are options of the function.")));
}

/* The function or task that the user means, if it is theirs; sets the signature */
static void
check_target(const char *name, SettingTarget *target)
{
	JobTarget	found;
	FunctionEntry *entry;

	job_target_resolve_name(name, &found);
	entry = found.function;
	target->signature = cstring_to_text(found.name);
	if (entry == NULL)
	{
		target->owner = found.owner;
		task_check_owner(found.name, found.owner);
		return;
	}
	target->owner = function_owner(entry->oid);
	if (!compat_owns_function(entry->oid, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of function %s", entry->signature),
				 errhint("Settings of a single job are options of defer.enqueue().")));
}

/*
 * Check whether the name is the stored signature of a function that is gone,
 * but for its settings.  Raise an error if these are another role's.
 */
static bool
is_gone(const char *name, SettingTarget *target)
{
	const FunctionSettings *settings;

	if (function_by_signature(name) != NULL)
		return false;
	settings = function_settings(name);
	if (!settings->found || name_is_task(name))
		return false;
	target->owner = settings->owner;
	if (!role_may_manage(target->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of the settings of function %s", name),
				 errdetail("The function does not exist, and another role owned it.")));
	return true;
}

SettingTarget
setting_target(const char *name)
{
	SettingTarget target;

	target.signature = cstring_to_text(name);
	if (name_is_ours(name))
		check_ours(name, &target);
	else if (!is_gone(name, &target))
		check_target(name, &target);
	return target;
}

static SettingTarget
read_target(FunctionCallInfo fcinfo)
{
	return setting_target(args_required_text(fcinfo, 0, "function"));
}

/* Insert a row for the function, unless another session has just done so */
static void
insert_function(const SettingTarget *target)
{
	Oid			types[] = {TEXTOID, REGROLEOID, INT4OID};
	Datum		values[] = {
		PointerGetDatum(target->signature), ObjectIdGetDatum(target->owner), (Datum) 0
	};

	quota_check("function", "functions with settings", target->owner);
	values[2] = Int32GetDatum(setting_unused_id(&function_table));
	own_sql_run("INSERT INTO defer.function (signature, owner, id) VALUES ($1, $2, $3)"
				" ON CONFLICT (signature) DO NOTHING",
				lengthof(types), types, values, NULL, SPI_OK_INSERT);
}

/* Write the settings that are given.  The first time, make the row.  Returns its number */
static int32
write_function(const SettingTarget *target, FunctionCallInfo fcinfo, bool reset, const bool *paused)
{
	text	   *signature = target->signature;
	SettingRow	row;
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	if (!setting_values_write(&function_table, signature, fcinfo, 1, reset, paused, &row))
	{
		insert_function(target);
		if (!setting_values_write(&function_table, signature, fcinfo, 1, reset, paused, &row))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("settings of function %s were changed by another session",
							text_to_cstring(signature)),
					 errhint("Try again.")));
	}
	SPI_finish();
	own_sql_end(&own);
	return row.id;
}

int
setting_target_arguments(void)
{
	return 1 + function_table.ncolumns;
}

void
setting_target_write(const SettingTarget *target, FunctionCallInfo fcinfo)
{
	int			group_by_at = setting_argument(&function_table, 1, "group_by");

	(void) setting_values_check(&function_table, fcinfo, 1);
	if (!PG_ARGISNULL(group_by_at))
		group_by_check_function(text_to_cstring(PG_GETARG_TEXT_PP(group_by_at)),
								text_to_cstring(target->signature));
	(void) write_function(target, fcinfo, false, NULL);
}

int32
setting_target_id(const SettingTarget *target)
{
	return write_function(target, NULL, false, NULL);
}

/*
 * defer.configure(function, queue, priority, max_attempts, initial_interval,
 * multiplier, max_interval, randomization, concurrency, at_limit,
 * max_duration, discard_after, group_by, group_concurrency, ..., reset)
 */
Datum
defer_configure(PG_FUNCTION_ARGS)
{
	int			reset_at = 1 + function_table.ncolumns;
	int			group_by_at = setting_argument(&function_table, 1, "group_by");
	bool		reset = !PG_ARGISNULL(reset_at) && PG_GETARG_BOOL(reset_at);
	SettingTarget target = read_target(fcinfo);

	warn_if_not_preloaded();
	if (!setting_values_check(&function_table, fcinfo, 1) && !reset)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no setting is given"),
				 errhint("Name what to change, as in concurrency => 3; reset => true takes all settings back.")));
	if (!PG_ARGISNULL(group_by_at))
		group_by_check_function(text_to_cstring(PG_GETARG_TEXT_PP(group_by_at)),
								text_to_cstring(target.signature));
	(void) write_function(&target, fcinfo, reset, NULL);
	PG_RETURN_VOID();
}

/* defer.pause(function) */
Datum
defer_pause(PG_FUNCTION_ARGS)
{
	SettingTarget target = read_target(fcinfo);
	bool		paused = true;

	(void) write_function(&target, NULL, false, &paused);
	PG_RETURN_VOID();
}

/* defer.resume(function) */
Datum
defer_resume(PG_FUNCTION_ARGS)
{
	SettingTarget target = read_target(fcinfo);
	bool		paused = false;

	(void) write_function(&target, NULL, false, &paused);
	PG_RETURN_VOID();
}
