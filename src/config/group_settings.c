/*
 * group_settings.c
 *		Settings of single groups of a function or queue: defer.set_group(),
 *		defer.reset_group().
 *
 * The row of the function or queue is locked first: "group_overrides" in it says
 * whether there are rows of its groups, and jobs of functions and queues that
 * have none do not look for them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

#include "base/limits_key.h"
#include "base/own_sql.h"
#include "config/group_by.h"
#include "config/group_hold.h"
#include "config/group_settings.h"
#include "config/rate_text.h"
#include "config/setting_target.h"
#include "config/settings_cache.h"
#include "config/settings_changes.h"
#include "shmem/limits.h"
#include "shmem/preload.h"
#include "shmem/xact_notify.h"

PG_FUNCTION_INFO_V1(defer_set_group);
PG_FUNCTION_INFO_V1(defer_reset_group);
PG_FUNCTION_INFO_V1(defer_release_group);

/* A group of a function or queue */
typedef struct GroupTarget
{
	char		kind;			/* 'f' or 'q' */
	int32		id;
	text	   *group_key;
	int64		hash;
} GroupTarget;

/* ------------------------------------------------------------------------
 * Arguments
 * ------------------------------------------------------------------------ */

/*
 * Read the arguments group_key, function and queue, in this order; the row of the function or
 * queue is locked
 */
static GroupTarget
read_target(FunctionCallInfo fcinfo)
{
	GroupTarget target;

	require_argument(fcinfo, 0, "group_key");
	target.group_key = PG_GETARG_TEXT_P(0);
	group_check(target.group_key);
	target.hash = limits_group_hash(VARDATA_ANY(target.group_key),
									VARSIZE_ANY_EXHDR(target.group_key));
	if (PG_ARGISNULL(1) == PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("exactly one of \"function\" and \"queue\" must be given"),
				 errhint("Settings of a group hold under one function or in one queue.")));
	if (!PG_ARGISNULL(1))
	{
		SettingTarget function = setting_target(text_to_cstring(PG_GETARG_TEXT_PP(1)));

		target.kind = 'f';
		target.id = setting_target_id(&function);
	}
	else
	{
		queue_check_may_change(text_to_cstring(PG_GETARG_TEXT_PP(2)), false);
		target.kind = 'q';
		target.id = queue_row_id(PG_GETARG_TEXT_P(2));
	}
	return target;
}

static void
bad_concurrency(const char *given)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"concurrency\": \"%s\"", given),
			 errhint("Give a number from 1 to %d, or 'none' for no limit; paused => true holds the group back.",
					 PG_INT32_MAX)));
}

/* Argument n, a number or text: LIMIT_NONE or more */
static int32
read_concurrency(FunctionCallInfo fcinfo, int n)
{
	Oid			output;
	bool		varlena;
	char	   *given;
	char	   *end;
	long		value;

	getTypeOutputInfo(get_fn_expr_argtype(fcinfo->flinfo, n), &output, &varlena);
	given = OidOutputFunctionCall(output, PG_GETARG_DATUM(n));
	if (strcmp(given, "none") == 0)
		return LIMIT_NONE;
	errno = 0;
	value = strtol(given, &end, 10);
	if (given[0] < '0' || given[0] > '9' || *end != '\0' || errno != 0 || value < 1 ||
		value > PG_INT32_MAX)
		bad_concurrency(given);
	return (int32) value;
}

static void
check_weight(double weight)
{
	/* NaN is no number between them, either */
	if (!(weight >= 0.001 && weight <= 1000))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"weight\" must be between 0.001 and 1000"),
				 errhint("A group of weight 2 gets twice as much worker time as one of weight 1, which is the default.")));
}

/* ------------------------------------------------------------------------
 * Rows
 * ------------------------------------------------------------------------ */

/* Note whether the function or queue has rows, in SPI */
static void
set_overrides(char kind, int32 id)
{
	Oid			types[] = {INT4OID, CHAROID};
	Datum		values[] = {Int32GetDatum(id), CharGetDatum(kind)};
	const char *sql = psprintf("UPDATE defer.%s t SET group_overrides = EXISTS (SELECT FROM defer.group_setting g"
							   " WHERE g.kind OPERATOR(pg_catalog.=) $2 AND g.id OPERATOR(pg_catalog.=) $1)"
							   " WHERE t.id OPERATOR(pg_catalog.=) $1",
							   kind == 'f' ? "function" : "queue");

	(void) own_sql_run(sql, lengthof(types), types, values, NULL, SPI_OK_UPDATE);
}

/* Tell all of it at commit; in SPI */
static void
changed(const GroupTarget *target)
{
	set_overrides(target->kind, target->id);
	settings_invalidate();
	xact_notify_group_limit(target->kind, target->id, target->hash);
}

void
group_settings_delete(char kind, int32 id)
{
	Oid			types[] = {CHAROID, INT4OID};
	Datum		values[] = {CharGetDatum(kind), Int32GetDatum(id)};

	(void) own_sql_run("DELETE FROM defer.group_setting g WHERE g.kind OPERATOR(pg_catalog.=) $1"
					   " AND g.id OPERATOR(pg_catalog.=) $2",
					   lengthof(types), types, values, NULL, SPI_OK_DELETE);
	group_holds_delete(kind, id);
}

void
group_settings_read(char kind, int32 id, const char *group_key, GroupSettings *group)
{
	Oid			types[] = {CHAROID, INT4OID, TEXTOID};
	Datum		values[] = {CharGetDatum(kind), Int32GetDatum(id), CStringGetTextDatum(group_key)};
	MemoryContext context = CurrentMemoryContext;
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	if (own_sql_run("SELECT g.concurrency, g.paused, g.reason FROM defer.group_setting g"
					" WHERE g.kind OPERATOR(pg_catalog.=) $1 AND g.id OPERATOR(pg_catalog.=) $2"
					" AND g.group_key OPERATOR(pg_catalog.=) $3",
					lengthof(types), types, values, NULL, SPI_OK_SELECT) > 0)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		int32		limit = DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull));
		Datum		reason;

		if (!isnull)
			group->limit = limit;
		group->paused = DatumGetBool(SPI_getbinval(tuple, desc, 2, &isnull));
		reason = SPI_getbinval(tuple, desc, 3, &isnull);
		MemoryContextSwitchTo(context);
		group->reason = isnull ? NULL : TextDatumGetCString(reason);
	}
	SPI_finish();
	own_sql_end(&own);
}

/* ------------------------------------------------------------------------
 * Places
 * ------------------------------------------------------------------------ */

/* Check whether two texts are there and the same */
static bool
same(const text *a, const text *b)
{
	return a != NULL && b != NULL && VARSIZE_ANY(a) == VARSIZE_ANY(b) &&
		memcmp(a, b, VARSIZE_ANY(a)) == 0;
}

/* Check whether a group has a limit of 1; "limit" is that of each group */
static bool
one_of_group(const text *group_key, char kind, int32 id, int32 limit, bool overrides)
{
	GroupSettings group = {limit, false, NULL};

	if (overrides)
		group_settings_read(kind, id, text_to_cstring(group_key), &group);
	return group.limit == 1;
}

static char *
one_of_function(const Job *job, bool same_group)
{
	char	   *name = text_to_cstring(job->function);
	FunctionSettings function = *function_settings(name);

	if (function.cancel_at_limit)
		return NULL;
	if (function.concurrency == 1)
		return psprintf("function %s", name);
	if (same_group && (function.group_order != GROUP_ORDER_NONE ||
					   one_of_group(job->group_key, 'f', function.id, function.group_concurrency,
									function.group_overrides)))
		return psprintf("group \"%s\" of function %s", text_to_cstring(job->group_key), name);
	return NULL;
}

static char *
one_of_queue(const Job *job, bool same_group)
{
	char	   *name = text_to_cstring(job->queue);
	QueueSettings queue = *queue_settings(name);

	if (queue.concurrency == 1)
		return psprintf("queue \"%s\"", name);
	if (same_group && (queue.group_order != GROUP_ORDER_NONE ||
					   one_of_group(job->group_key, 'q', queue.id, queue.group_concurrency,
									queue.group_overrides)))
		return psprintf("group \"%s\" in queue \"%s\"", text_to_cstring(job->group_key), name);
	return NULL;
}

char *
settings_limit_of_one(const Job *holder, const Job *job)
{
	Job			now = *holder;
	bool		same_group = same(holder->group_key, job->group_key);
	char	   *limit = NULL;

	settings_set_limits(&now);
	if (now.limits_key != holder->limits_key)
		return NULL;			/* set after it has begun */
	if (same(holder->function, job->function))
		limit = one_of_function(job, same_group);
	if (limit == NULL && same(holder->queue, job->queue))
		limit = one_of_queue(job, same_group);
	return limit;
}

/* ------------------------------------------------------------------------
 * The functions
 * ------------------------------------------------------------------------ */

/* defer.set_group(group_key, function, queue, concurrency, paused, reason, weight, rate) */
Datum
defer_set_group(PG_FUNCTION_ARGS)
{
	Oid			types[] = {
		CHAROID, INT4OID, TEXTOID, INT8OID, INT4OID, BOOLOID, TEXTOID, FLOAT8OID,
		TEXTOID
	};
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types)];
	GroupTarget target;
	OwnSql		own;

	if (PG_ARGISNULL(3) && PG_ARGISNULL(4) && PG_ARGISNULL(5) && PG_ARGISNULL(6) &&
		PG_ARGISNULL(7))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no setting is given"),
				 errhint("Name what to change, as in concurrency => 3; defer.reset_group() takes all settings of the group back.")));
	if (!PG_ARGISNULL(3))
		values[4] = Int32GetDatum(read_concurrency(fcinfo, 3));
	if (!PG_ARGISNULL(6))
		check_weight(PG_GETARG_FLOAT8(6));
	if (!PG_ARGISNULL(7))
		(void) rate_interval_of_text("rate", text_to_cstring(PG_GETARG_TEXT_PP(7)));
	warn_if_not_preloaded();
	memset(nulls, ' ', sizeof(nulls));
	target = read_target(fcinfo);
	values[0] = CharGetDatum(target.kind);
	values[1] = Int32GetDatum(target.id);
	values[2] = PointerGetDatum(target.group_key);
	values[3] = Int64GetDatum(target.hash);
	for (int i = 3; i < 8; i++)
	{
		if (PG_ARGISNULL(i))
			nulls[i + 1] = 'n';
		else if (i > 3)
			values[i + 1] = PG_GETARG_DATUM(i);
	}

	own_sql_begin(&own);
	SPI_connect();
	(void) own_sql_run("INSERT INTO defer.group_setting AS g (kind, id, group_key, group_hash, concurrency, paused, reason, weight, rate)"
					   " VALUES ($1, $2, $3, $4, $5, COALESCE($6, false), $7, $8, $9)"
					   " ON CONFLICT (kind, id, group_key) DO UPDATE SET"
					   " concurrency = COALESCE($5, g.concurrency), paused = COALESCE($6, g.paused), weight = COALESCE($8, g.weight),"
					   " rate = COALESCE($9, g.rate),"
					   " reason = CASE WHEN $7 IS NOT NULL THEN $7 WHEN $6 IS NULL OR $6 THEN g.reason END",
					   lengthof(types), types, values, nulls, SPI_OK_INSERT);
	changed(&target);
	SPI_finish();
	own_sql_end(&own);
	PG_RETURN_VOID();
}

/* Delete the row of a group by an own statement; $1 to $3 name the group */
static bool
delete_row(const GroupTarget *target, const char *sql)
{
	Oid			types[] = {CHAROID, INT4OID, TEXTOID};
	Datum		values[] = {CharGetDatum(target->kind), Int32GetDatum(target->id),
		PointerGetDatum(target->group_key)};

	return own_sql_run(sql, lengthof(types), types, values, NULL, SPI_OK_DELETE) > 0;
}

/* defer.reset_group(group_key, function, queue) */
Datum
defer_reset_group(PG_FUNCTION_ARGS)
{
	GroupTarget target = read_target(fcinfo);
	bool		deleted;
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	deleted = delete_row(&target, "DELETE FROM defer.group_setting g WHERE g.kind OPERATOR(pg_catalog.=) $1"
						 " AND g.id OPERATOR(pg_catalog.=) $2 AND g.group_key OPERATOR(pg_catalog.=) $3");
	if (deleted)
		changed(&target);
	SPI_finish();
	own_sql_end(&own);
	PG_RETURN_BOOL(deleted);
}

/* ------------------------------------------------------------------------
 * Groups that a failed job holds
 * ------------------------------------------------------------------------ */

void
group_holds_delete(char kind, int32 id)
{
	Oid			types[] = {CHAROID, INT4OID};
	Datum		values[] = {CharGetDatum(kind), Int32GetDatum(id)};

	if (own_sql_run("DELETE FROM defer.group_hold h WHERE h.kind OPERATOR(pg_catalog.=) $1"
					" AND h.id OPERATOR(pg_catalog.=) $2",
					lengthof(types), types, values, NULL, SPI_OK_DELETE) > 0)
		xact_notify_rescan();	/* the limits of all of them */
}

/* defer.release_group(group_key, function, queue) */
Datum
defer_release_group(PG_FUNCTION_ARGS)
{
	GroupTarget target = read_target(fcinfo);
	bool		deleted;
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	deleted = delete_row(&target, "DELETE FROM defer.group_hold h WHERE h.kind OPERATOR(pg_catalog.=) $1"
						 " AND h.id OPERATOR(pg_catalog.=) $2 AND h.group_key OPERATOR(pg_catalog.=) $3");
	SPI_finish();
	own_sql_end(&own);
	if (deleted)
		xact_notify_group_limit(target.kind, target.id, target.hash);
	PG_RETURN_BOOL(deleted);
}
