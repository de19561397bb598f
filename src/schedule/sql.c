/*
 * sql.c
 *		The SQL functions about schedules.
 *
 * A schedule belongs to the role that made it, and its name is that role's
 * own.  Members of the role manage it as well: a name is looked for among the
 * caller's own schedules first, then among all that the caller may manage.  An
 * id means one schedule, whatever the names of others.  Rows are only locked
 * once it is known that the caller may: or else any user could hold up the
 * ticks of any other.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/guc_job.h"
#include "base/job_kind.h"
#include "base/roles.h"
#include "shmem/preload.h"
#include "function/function.h"
#include "config/job_caps.h"
#include "job/current_job.h"
#include "job/command.h"
#include "workflow/workflow.h"
#include "schedule/schedule.h"

PG_FUNCTION_INFO_V1(defer_cron);
PG_FUNCTION_INFO_V1(defer_cron_command);
PG_FUNCTION_INFO_V1(defer_cron_workflow);
PG_FUNCTION_INFO_V1(defer_alter_cron);
PG_FUNCTION_INFO_V1(defer_alter_cron_by_id);
PG_FUNCTION_INFO_V1(defer_unschedule);
PG_FUNCTION_INFO_V1(defer_unschedule_by_id);
PG_FUNCTION_INFO_V1(defer_trigger);
PG_FUNCTION_INFO_V1(defer_trigger_by_id);
PG_FUNCTION_INFO_V1(defer_run_schedules);

/* ------------------------------------------------------------------------
 * Finding rows
 * ------------------------------------------------------------------------ */

/*
 * Check whether the user means this schedule: by its name, or by that of its
 * function
 */
static bool
matches(const Schedule *s, const char *name, bool by_function)
{
	const char *base = s->function;
	char	   *call = psprintf("%s()", name);
	bool		quoted = false;

	if (!by_function)
		return strcmp(s->name, name) == 0;
	if (s->kind == JOB_COMMAND || s->kind == JOB_WORKFLOW)
		return false;
	for (; *base != '\0' && (quoted || *base != '.'); base++)
	{
		if (*base == '"')
			quoted = !quoted;
	}
	base += *base == '.';
	return strcmp(s->function, name) == 0 || strcmp(s->function, call) == 0 ||
		strcmp(base, name) == 0 || strcmp(base, call) == 0;
}

/* Choose among the schedules that match; 0: there is none */
static int64
choose_schedule(const Schedule *rows, uint64 n, const char *name, bool by_function)
{
	int64		own = 0;
	int64		other = 0;
	int			nown = 0;
	int			nother = 0;

	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!matches(&rows[i], name, by_function))
			continue;
		if (rows[i].owner == GetUserId())
		{
			own = rows[i].id;
			nown++;
		}
		else if (role_may_manage(rows[i].owner))
		{
			other = rows[i].id;
			nother++;
		}
	}
	if (nown > 1 || (nown == 0 && nother > 1))
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_PARAMETER),
				 errmsg(by_function ? "function \"%s\" has several schedules" :
						"several roles have a schedule \"%s\"", schedule_shown(name)),
				 by_function ? errhint("Use the schedule's name: see defer.schedules.") :
				 errhint("Use the schedule's id: see defer.schedules.")));
	return nown == 1 ? own : other;
}

/* Find the schedule that the user means; 0: there is none */
static int64
find_schedule(const char *name, bool or_function)
{
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(name);
	Schedule   *rows;
	uint64		n;
	int64		id;

	n = schedule_query("SELECT " SCHEDULE_COLUMNS " FROM defer.schedule s"
					   " WHERE s.name OPERATOR(pg_catalog.=) $1",
					   1, &type, &value, NULL, &rows);
	id = choose_schedule(rows, n, name, false);
	if (id != 0 || !or_function)
		return id;
	n = schedule_query("SELECT " SCHEDULE_COLUMNS " FROM defer.schedule s"
					   " WHERE pg_catalog.strpos(s.function, $1) OPERATOR(pg_catalog.>) 0",
					   1, &type, &value, NULL, &rows);
	return choose_schedule(rows, n, name, true);
}

/* The row that find_schedule() found, as it is now; locked if wanted */
static bool
read_schedule(int64 id, bool lock, Schedule *s)
{
	Oid			type = INT8OID;
	Datum		value = Int64GetDatum(id);
	Schedule   *rows;

	if (schedule_query(lock ?
					   "SELECT " SCHEDULE_COLUMNS " FROM defer.schedule s"
					   " WHERE s.id OPERATOR(pg_catalog.=) $1 FOR UPDATE" :
					   "SELECT " SCHEDULE_COLUMNS " FROM defer.schedule s"
					   " WHERE s.id OPERATOR(pg_catalog.=) $1",
					   1, &type, &value, NULL, &rows) == 0)
		return false;
	*s = rows[0];
	return role_may_manage(s->owner);
}

/* Raise the error that the caller may manage no such schedule; name NULL: by id */
static void
no_such_schedule(const char *name, int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 name != NULL ? errmsg("schedule \"%s\" does not exist", schedule_shown(name)) :
			 errmsg("schedule %lld does not exist", (long long) id),
			 errhint("The view defer.schedules has those that you may see.")));
}

/* Read the row of that id, which the caller must be able to manage; name NULL: by id */
static void
read_managed(int64 id, const char *name, bool lock, Schedule *s)
{
	if (id == 0 || !read_schedule(id, lock, s))
	{
		no_such_schedule(name, id);
		pg_unreachable();
	}
}

/* See schedule/schedule.h */
void
schedule_find_by_name(const char *name, bool lock, Schedule *s)
{
	read_managed(find_schedule(name, false), name, lock, s);
}

void
schedule_find_by_id(int64 id, bool lock, Schedule *s)
{
	read_managed(id, NULL, lock, s);
}

static int64
id_argument(FunctionCallInfo fcinfo)
{
	require_argument(fcinfo, 0, "id");
	return PG_GETARG_INT64(0);
}

/* ------------------------------------------------------------------------
 * Making and changing
 * ------------------------------------------------------------------------ */

/*
 * defer.cron(function, schedule, name, timezone, overlap, catch_up,
 * catch_up_window, jitter, active, queue, priority, allow_direct, group_key,
 * starts_at, ends_at, max_runs, pause_after_failures, when_done)
 */
Datum
defer_cron(PG_FUNCTION_ARGS)
{
	JobTarget	target;
	Schedule	s;

	PreventCommandIfReadOnly("defer.cron()");
	schedule_default_options(&s);
	schedule_check_function(args_required_text(fcinfo, 0, "function"), s.owner, &target);
	s.kind = target.kind;
	s.function = pstrdup(target.name);
	s.function_owner = target.owner;
	s.name = target.function == NULL ? s.function : get_func_name(target.function->oid);
	s.schedule = args_required_text(fcinfo, 1, "schedule");
	if (!PG_ARGISNULL(2))
		s.name = text_to_cstring(PG_GETARG_TEXT_PP(2));
	schedule_read_options(fcinfo, 3, &s);
	s.allow_direct = !PG_ARGISNULL(11) && PG_GETARG_BOOL(11);
	schedule_read_group(fcinfo, 12, &s);
	schedule_read_bounds(fcinfo, 13, &s);
	schedule_read_when_done(fcinfo, 17, &s);
	warn_if_not_preloaded();
	PG_RETURN_INT64(schedule_make(&s, !PG_ARGISNULL(2), false));
}

/* The scheduler of all roles reads what the schedule runs, and writes it into each job */
static void
check_size(const char *command)
{
	if (strlen(command) > (Size) defer_max_payload * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("what the schedule runs is larger than %d kB", defer_max_payload),
				 errhint("Keep it in a function or a table, or raise defer.max_payload.")));
}

/*
 * defer.cron_command(name, schedule, sql, timezone, overlap, catch_up,
 * catch_up_window, jitter, active, queue, priority, group_key, starts_at,
 * ends_at, max_runs, pause_after_failures, when_done)
 */
Datum
defer_cron_command(PG_FUNCTION_ARGS)
{
	Schedule	s;

	PreventCommandIfReadOnly("defer.cron_command()");
	schedule_default_options(&s);
	s.kind = JOB_COMMAND;
	s.function = COMMAND_FUNCTION;
	s.name = args_required_text(fcinfo, 0, "name");
	s.schedule = args_required_text(fcinfo, 1, "schedule");
	s.command = args_required_text(fcinfo, 2, "sql");
	check_size(s.command);
	command_check(s.command);
	schedule_read_options(fcinfo, 3, &s);
	schedule_read_group(fcinfo, 11, &s);
	schedule_read_bounds(fcinfo, 12, &s);
	schedule_read_when_done(fcinfo, 16, &s);
	warn_if_not_preloaded();
	PG_RETURN_INT64(schedule_make(&s, true, false));
}

/*
 * defer.cron_workflow(name, schedule, steps, args, timezone, overlap, catch_up,
 * catch_up_window, jitter, active, queue, priority, group_key, starts_at, ends_at, max_runs,
 * pause_after_failures, when_done)
 */
Datum
defer_cron_workflow(PG_FUNCTION_ARGS)
{
	Schedule	s;
	Jsonb	   *args = PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3);

	PreventCommandIfReadOnly("defer.cron_workflow()");
	schedule_default_options(&s);
	s.kind = JOB_WORKFLOW;
	s.function = WORKFLOW_FUNCTION;
	s.name = args_required_text(fcinfo, 0, "name");
	args_check_name("workflow", s.name, WORKFLOW_NAME_MAX);
	s.schedule = args_required_text(fcinfo, 1, "schedule");
	require_argument(fcinfo, 2, "steps");
	if (args != NULL && !JB_ROOT_IS_OBJECT(args))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"args\" must be a JSON object"),
				 errhint("The time of a run is added to it, as \"scheduled_for\".")));
	s.command = workflow_description(workflow_check(PG_GETARG_JSONB_P(2), NULL), args);
	check_size(s.command);
	s.allow_direct = true;		/* what it runs starts other workflows, too */
	schedule_read_options(fcinfo, 4, &s);
	schedule_read_group(fcinfo, 12, &s);
	schedule_read_bounds(fcinfo, 13, &s);
	schedule_read_when_done(fcinfo, 17, &s);
	warn_if_not_preloaded();
	PG_RETURN_INT64(schedule_make(&s, true, false));
}

/* What a schedule runs: to change it is to act as its owner */
static void
alter_work(FunctionCallInfo fcinfo, int function, int sql, Schedule *s)
{
	JobTarget	target;

	if (PG_ARGISNULL(function) && PG_ARGISNULL(sql))
		return;
	if (!PG_ARGISNULL(function) && !PG_ARGISNULL(sql))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a schedule has either a function or an SQL statement")));
	if (!compat_may_set_role(GetUserId(), s->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to change what schedule \"%s\" runs", s->name),
				 errdetail("Only roles that may SET ROLE to its owner can do that.")));
	if (!PG_ARGISNULL(sql))
	{
		s->kind = JOB_COMMAND;
		s->function = COMMAND_FUNCTION;
		s->function_owner = InvalidOid;
		s->command = text_to_cstring(PG_GETARG_TEXT_PP(sql));
		check_size(s->command);
		command_check(s->command);
		return;
	}
	schedule_check_function(text_to_cstring(PG_GETARG_TEXT_PP(function)), s->owner, &target);
	s->kind = target.kind;
	s->function = pstrdup(target.name);
	s->function_owner = target.owner;
	s->command = NULL;
}

/* Change a schedule; name: as the caller gave it, NULL: by its id */
static Datum
alter_schedule(FunctionCallInfo fcinfo, int64 id, const char *name)
{
	Schedule	before = {0};
	Schedule	s;
	CronSchedule cron;

	read_managed(id, name, true, &before);
	s = before;
	if (!PG_ARGISNULL(1))
		s.schedule = text_to_cstring(PG_GETARG_TEXT_PP(1));
	schedule_parse(s.schedule, &cron);
	schedule_read_options(fcinfo, 2, &s);
	if (PG_ARGISNULL(2))
		(void) schedule_check_zone(s.timezone);
	if (!PG_ARGISNULL(10))
		s.allow_direct = PG_GETARG_BOOL(10);
	alter_work(fcinfo, 11, 12, &s);
	schedule_read_group(fcinfo, 13, &s);
	schedule_read_bounds(fcinfo, 14, &s);
	schedule_read_when_done(fcinfo, 18, &s);
	if (!schedule_save(&s, &before, false))
		no_such_schedule(name, id);
	schedule_signature_changed(&before);
	schedule_signature_changed(&s);
	PG_RETURN_VOID();
}

/*
 * defer.alter_cron(name, schedule, timezone, overlap, catch_up,
 * catch_up_window, jitter, active, queue, priority, allow_direct, function,
 * sql, group_key, starts_at, ends_at, max_runs, pause_after_failures, when_done)
 */
Datum
defer_alter_cron(PG_FUNCTION_ARGS)
{
	char	   *name = args_required_text(fcinfo, 0, "name");

	PreventCommandIfReadOnly("defer.alter_cron()");
	return alter_schedule(fcinfo, find_schedule(name, false), name);
}

/* defer.alter_cron(id, ...), else the same */
Datum
defer_alter_cron_by_id(PG_FUNCTION_ARGS)
{
	int64		id = id_argument(fcinfo);

	PreventCommandIfReadOnly("defer.alter_cron()");
	return alter_schedule(fcinfo, id, NULL);
}

/* Remove a schedule; false: the caller may manage none with that id */
static bool
remove_schedule(int64 id)
{
	Oid			type = INT8OID;
	Datum		value = Int64GetDatum(id);
	Schedule	s;

	if (id == 0 || !read_schedule(id, true, &s))
		return false;
	schedule_query("DELETE FROM defer.backfill b WHERE b.schedule_id OPERATOR(pg_catalog.=) $1",
				   1, &type, &value, NULL, NULL);
	schedule_query("DELETE FROM defer.schedule s WHERE s.id OPERATOR(pg_catalog.=) $1",
				   1, &type, &value, NULL, NULL);
	schedule_signature_changed(&s);
	return true;
}

/* defer.unschedule(name) */
Datum
defer_unschedule(PG_FUNCTION_ARGS)
{
	char	   *name = args_required_text(fcinfo, 0, "name");

	PreventCommandIfReadOnly("defer.unschedule()");
	PG_RETURN_BOOL(remove_schedule(find_schedule(name, false)));
}

/* defer.unschedule(id) */
Datum
defer_unschedule_by_id(PG_FUNCTION_ARGS)
{
	int64		id = id_argument(fcinfo);

	PreventCommandIfReadOnly("defer.unschedule()");
	PG_RETURN_BOOL(remove_schedule(id));
}

/* ------------------------------------------------------------------------
 * Running now
 * ------------------------------------------------------------------------ */

/* Enqueue a run of a schedule; name: as the caller gave it, NULL: by its id */
static Datum
trigger_schedule(int64 id, const char *name)
{
	const char *sqlstate;
	char	   *error;
	Schedule	s;
	Job			job;

	warn_if_not_preloaded();
	read_managed(id, name, false, &s);
	if (!schedule_make_job(&s, GetCurrentTimestamp(), &job, &sqlstate, &error))
		ereport(ERROR,
				(errcode(MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3],
									   sqlstate[4])),
				 errmsg("schedule \"%s\" cannot run: %s", s.name, error),
				 errhint("Put it right with defer.alter_cron().")));
	if (current_job.job != NULL)
		job.parent_id = current_job.job->id;
	(void) job_caps_insert(&job);
	schedule_when_done(&s, &job);
	PG_RETURN_INT64(job.id);
}

/* defer.trigger(name) */
Datum
defer_trigger(PG_FUNCTION_ARGS)
{
	char	   *name = args_required_text(fcinfo, 0, "name");

	PreventCommandIfReadOnly("defer.trigger()");
	return trigger_schedule(find_schedule(name, true), name);
}

/* defer.trigger(id) */
Datum
defer_trigger_by_id(PG_FUNCTION_ARGS)
{
	int64		id = id_argument(fcinfo);

	PreventCommandIfReadOnly("defer.trigger()");
	return trigger_schedule(id, NULL);
}

/*
 * defer.run_schedules(as_of): for tests, and for users who keep time
 * themselves
 */
Datum
defer_run_schedules(PG_FUNCTION_ARGS)
{
	TimestampTz as_of;
	TimestampTz next;

	PreventCommandIfReadOnly("defer.run_schedules()");
	require_argument(fcinfo, 0, "as_of");
	as_of = PG_GETARG_TIMESTAMPTZ(0);
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser to run the schedules of all roles")));
	if (TIMESTAMP_NOT_FINITE(as_of))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be finite", "as_of")));
	next = schedule_run_due(as_of, false);
	if (next == DT_NOEND)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(next);
}
