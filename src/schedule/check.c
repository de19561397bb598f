/*
 * check.c
 *		What users give for a schedule is checked, and refused with the place and
 *		a hint.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/compat.h"
#include "config/group_by.h"
#include "config/json_schema.h"
#include "config/queue_access.h"
#include "config/setting_values.h"
#include "config/task.h"
#include "function/function.h"
#include "schedule/schedule.h"

/* Bytes of a schedule's name, and of a schedule's text in a message */
#define NAME_BYTES		200
#define SHOWN_BYTES		100

/* Bytes of why it is paused */
#define REASON_BYTES	1000

/* ------------------------------------------------------------------------
 * Checks
 * ------------------------------------------------------------------------ */

/* What a user wrote, fit for one line of a message */
char *
schedule_shown(const char *text)
{
	int			length = pg_mbcliplen(text, strlen(text), SHOWN_BYTES);
	char	   *copy = psprintf("%.*s%s", length, text, text[length] != '\0' ? "..." : "");

	for (char *p = copy; *p != '\0'; p++)
	{
		if ((unsigned char) *p < ' ' || *p == 0x7f)
			*p = '?';
	}
	return copy;
}

void
schedule_parse(const char *text, CronSchedule *cron)
{
	CronError	error;

	if (cron_parse(text, cron, &error))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid schedule \"%s\": %s", schedule_shown(text), error.message),
			 error.length > 0 && error.position + error.length <= strlen(text) ?
			 errdetail("At character %d: \"%s\".",
					   pg_mbstrlen_with_len(text, error.position) + 1,
					   schedule_shown(pnstrdup(text + error.position, error.length))) :
			 errdetail("At character %d.",
					   pg_mbstrlen_with_len(text, Min(error.position, strlen(text))) + 1),
			 error.hint[0] != '\0' ? errhint("%s", error.hint) : 0));
}

pg_tz *
schedule_check_zone(const char *name)
{
	pg_tz	   *tz = schedule_zone(name);

	if (tz == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" does not exist", schedule_shown(name)),
				 errhint("The view pg_timezone_names has the names, such as Europe/Paris.")));
	return tz;
}

static void
check_choice(const char *parameter, const char *value, const char *const *choices, int n)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < n; i++)
	{
		if (strcmp(value, choices[i]) == 0)
			return;
		appendStringInfo(&list, "%s\"%s\"", i == 0 ? "" : i == n - 1 ? " and " : ", ", choices[i]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for \"%s\": \"%s\"", parameter, schedule_shown(value)),
			 errhint("Valid values are %s.", list.data)));
}

void
schedule_check_name(const char *name)
{
	args_check_name("schedule", name, NAME_BYTES);
}

static void
check_jitter(const Interval *jitter)
{
	if (setting_interval("jitter", jitter) > USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be more than a day", "jitter")));
}

/* Check that a role may schedule a task, which then gets no arguments */
static void
check_task(const char *name, Oid owner)
{
	const TaskSettings *task = task_check_usable(name, owner);

	if (task->schema != NULL)
		json_schema_check(task->schema, NULL, name);
}

/* The function or task that a user means, for a schedule of that role */
void
schedule_check_function(const char *name, Oid owner, JobTarget *target)
{
	FunctionEntry *entry;
	char		type;

	job_target_resolve_name(name, target);
	entry = target->function;
	if (entry == NULL)
	{
		check_task(target->name, owner);
		return;
	}
	type = get_typtype(entry->result_type);
	if (entry->nargs > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("a scheduled function takes no arguments, but %s has parameters",
						entry->signature),
				 errhint("Schedule a function without parameters that calls it, or that enqueues it with defer.enqueue().")));
	if (type == TYPTYPE_PSEUDO && entry->result_type != VOIDOID && entry->result_type != RECORDOID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function %s returns type %s and cannot be scheduled",
						entry->signature, format_type_be(entry->result_type))));
	if (!compat_may_execute(entry->oid, owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function %s", entry->signature),
				 errhint("The schedule's owner needs the EXECUTE right.")));
}

/* ------------------------------------------------------------------------
 * Options
 * ------------------------------------------------------------------------ */

static Interval *
interval_argument(FunctionCallInfo fcinfo, int n)
{
	Interval   *copy = palloc(sizeof(Interval));

	*copy = *PG_GETARG_INTERVAL_P(n);
	return copy;
}

/* What holds where nothing is given */
void
schedule_default_options(Schedule *s)
{
	static const Interval day = {.day = 1};
	static const Interval none = {0};

	memset(s, 0, sizeof(Schedule));
	s->owner = GetUserId();
	s->timezone = "UTC";
	s->overlap = "skip";
	s->catch_up = "one";
	s->catch_up_window = unconstify(Interval *, &day);
	s->jitter = unconstify(Interval *, &none);
	s->active = true;
	s->next_tick = s->next_run_at = s->last_tick = s->last_run_at = NO_TIME;
	s->starts_at = s->ends_at = s->paused_at = NO_TIME;
}

/*
 * Read the options that all the functions have, at the arguments from "first"
 * on: timezone, overlap, catch_up, catch_up_window, jitter, active, queue,
 * priority.  NULL leaves *s as it is.
 */
void
schedule_read_options(FunctionCallInfo fcinfo, int first, Schedule *s)
{
	static const char *const overlaps[] = {"skip", "queue", "allow", "replace"};
	static const char *const catch_ups[] = {"none", "one", "all"};

	if (!PG_ARGISNULL(first))
	{
		char	   *zone = text_to_cstring(PG_GETARG_TEXT_PP(first));

		s->timezone = pstrdup(pg_get_timezone_name(schedule_check_zone(zone)));
	}
	if (!PG_ARGISNULL(first + 1))
	{
		s->overlap = text_to_cstring(PG_GETARG_TEXT_PP(first + 1));
		check_choice("overlap", s->overlap, overlaps, lengthof(overlaps));
	}
	if (!PG_ARGISNULL(first + 2))
	{
		s->catch_up = text_to_cstring(PG_GETARG_TEXT_PP(first + 2));
		check_choice("catch_up", s->catch_up, catch_ups, lengthof(catch_ups));
	}
	if (!PG_ARGISNULL(first + 3))
	{
		s->catch_up_window = interval_argument(fcinfo, first + 3);
		(void) setting_interval("catch_up_window", s->catch_up_window);
	}
	if (!PG_ARGISNULL(first + 4))
	{
		s->jitter = interval_argument(fcinfo, first + 4);
		check_jitter(s->jitter);
	}
	if (!PG_ARGISNULL(first + 5))
	{
		s->active = PG_GETARG_BOOL(first + 5);
		s->active_given = true;
	}
	if (!PG_ARGISNULL(first + 6))
	{
		s->queue = text_to_cstring(PG_GETARG_TEXT_PP(first + 6));
		(void) queue_check_usable(s->queue, s->owner);
	}
	if (!PG_ARGISNULL(first + 7))
	{
		s->has_priority = true;
		s->priority = args_int32(fcinfo, first + 7, "priority");
	}
}

void
schedule_read_group(FunctionCallInfo fcinfo, int n, Schedule *s)
{
	if (PG_ARGISNULL(n))
		return;
	group_check(PG_GETARG_TEXT_PP(n));
	s->group_key = text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static int32
count_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	int32		count = args_int32(fcinfo, n, name);

	if (count < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be negative", name),
				 errhint("0 removes it.")));
	return count;
}

/* See schedule/schedule.h */
void
schedule_read_bounds(FunctionCallInfo fcinfo, int first, Schedule *s)
{
	if (!PG_ARGISNULL(first))
	{
		s->starts_at = PG_GETARG_TIMESTAMPTZ(first);
		if (s->starts_at == DT_NOEND)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" must not be infinity", "starts_at"),
					 errhint("To hold back a schedule use defer.pause_cron().")));
	}
	if (!PG_ARGISNULL(first + 1))
	{
		s->ends_at = PG_GETARG_TIMESTAMPTZ(first + 1);
		if (s->ends_at == DT_NOBEGIN)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" must not be -infinity", "ends_at")));
		if (s->ends_at == DT_NOEND)
			s->ends_at = NO_TIME;
	}
	if (!PG_ARGISNULL(first + 2))
		s->max_runs = count_argument(fcinfo, first + 2, "max_runs");
	if (!PG_ARGISNULL(first + 3))
		s->pause_after_failures = count_argument(fcinfo, first + 3, "pause_after_failures");
}

/* It is run as the schedule's owner, so to name it is to act as that role */
void
schedule_read_when_done(FunctionCallInfo fcinfo, int n, Schedule *s)
{
	char	   *name = args_text(fcinfo, n);
	JobTarget	target;

	if (name == NULL)
		return;
	if (!compat_may_set_role(GetUserId(), s->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to change what schedule \"%s\" runs", s->name),
				 errdetail("Only roles that may SET ROLE to its owner can do that.")));
	s->when_done = NULL;
	if (name[0] == '\0')
		return;
	schedule_check_function(name, s->owner, &target);
	s->when_done = pstrdup(target.name);
	s->when_done_owner = target.owner;
}

char *
schedule_read_reason(FunctionCallInfo fcinfo, int n)
{
	char	   *reason = args_text(fcinfo, n);

	if (reason != NULL && strlen(reason) > REASON_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not have more than %d bytes", "reason", REASON_BYTES)));
	return reason != NULL && reason[0] != '\0' ? reason : NULL;
}
