/*
 * configure.c
 *		Settings of functions: defer.configure(), defer.pause(), defer.resume().
 *
 * A function's settings are a row under its signature; it is made by the
 * first call and stays, even if all of it is reset: jobs carry its number in
 * their ready queue.  They belong to whoever owns the function, so that nobody can
 * slow down or stop the jobs of others by a function of theirs.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/job.h"
#include "base/own_sql.h"
#include "shmem/shmem.h"
#include "function/function.h"
#include "config/setting_values.h"

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
};

static const SettingTable function_table = {
	.name = "function",
	.key = "signature",
	.limit_kind = 'f',
	.ncolumns = lengthof(function_columns),
	.columns = function_columns,
};

/* The signature of the function that the user means, if it is theirs */
static text *
own_function(FunctionCallInfo fcinfo)
{
	FunctionEntry *entry;
	char	   *name;

	require_argument(fcinfo, 0, "function");
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (name_is_ours(name))
	{
		/* commands and deliveries: these are the administrator's to configure */
		if (!has_privs_of_role(GetUserId(), catalog_owner()))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("must be owner of extension defer to configure %s", name),
					 errhint("Settings of a single job are options of the function.")));
		return cstring_to_text(name);
	}
	entry = function_resolve_name(name);
	if (!compat_owns_function(entry->oid, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of function %s", entry->signature),
				 errhint("Settings of a single job are options of defer.enqueue().")));
	return cstring_to_text(entry->signature);
}

/* Write what is given; the first time, make the row */
static void
write_function(text *signature, FunctionCallInfo fcinfo, bool reset, const bool *paused)
{
	Oid			types[] = {TEXTOID, INT4OID};
	Datum		values[] = {PointerGetDatum(signature), (Datum) 0};
	SettingRow	row;
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	if (!setting_values_write(&function_table, signature, fcinfo, 1, reset, paused, &row))
	{
		values[1] = Int32GetDatum(setting_unused_id(&function_table));
		own_sql_run("INSERT INTO defer.function (signature, id) VALUES ($1, $2)"
					" ON CONFLICT (signature) DO NOTHING",
					2, types, values, NULL, SPI_OK_INSERT);
		if (!setting_values_write(&function_table, signature, fcinfo, 1, reset, paused, &row))
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("settings of function %s were changed by another session",
							text_to_cstring(signature)),
					 errhint("Try again.")));
	}
	SPI_finish();
	own_sql_end(&own);
}

/*
 * defer.configure(function, queue, priority, max_attempts, initial_interval,
 * multiplier, max_interval, randomization, concurrency, at_limit,
 * max_duration, discard_after, reset)
 */
Datum
defer_configure(PG_FUNCTION_ARGS)
{
	int			reset_at = 1 + function_table.ncolumns;
	bool		reset = !PG_ARGISNULL(reset_at) && PG_GETARG_BOOL(reset_at);
	text	   *signature = own_function(fcinfo);

	warn_if_not_preloaded();
	if (!setting_values_check(&function_table, fcinfo, 1) && !reset)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no setting is given"),
				 errhint("Name what to change, as in concurrency => 3; reset => true takes all settings back.")));
	write_function(signature, fcinfo, reset, NULL);
	PG_RETURN_VOID();
}

/* defer.pause(function) */
Datum
defer_pause(PG_FUNCTION_ARGS)
{
	bool		paused = true;

	write_function(own_function(fcinfo), NULL, false, &paused);
	PG_RETURN_VOID();
}

/* defer.resume(function) */
Datum
defer_resume(PG_FUNCTION_ARGS)
{
	bool		paused = false;

	write_function(own_function(fcinfo), NULL, false, &paused);
	PG_RETURN_VOID();
}
