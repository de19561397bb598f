/*
 * save.c
 *		Making and changing schedules.
 *
 * Who may is checked by the callers: schedule/sql.c and import/import_pg_cron.c.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/citus.h"
#include "base/job_kind.h"
#include "config/quota.h"
#include "shmem/xact_notify.h"
#include "function/direct_call_check.h"
#include "function/function.h"
#include "schedule/schedule.h"

/* The schedule of a role with a name, locked */
bool
schedule_lock_by_name(Oid owner, const char *name, Schedule *s)
{
	Oid			types[] = {OIDOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(owner), CStringGetTextDatum(name)};
	Schedule   *rows;

	if (schedule_query("SELECT " SCHEDULE_COLUMNS " FROM defer.schedule s"
					   " WHERE s.owner OPERATOR(pg_catalog.=) $1"
					   " AND s.name OPERATOR(pg_catalog.=) $2 FOR UPDATE",
					   lengthof(types), types, values, NULL, &rows) == 0)
		return false;
	*s = rows[0];
	return true;
}

/* Insert or update; false: another session has just inserted that name */
static bool
write_schedule(Schedule *s)
{
	static const char *const insert =
		"INSERT INTO defer.schedule AS s (name, owner, kind, function, function_owner, command, schedule, timezone,"
		" overlap, catch_up, catch_up_window, jitter, active, allow_direct, queue, priority,"
		" group_key, starts_at, ends_at, max_runs, pause_after_failures, when_done, when_done_owner)"
		" VALUES ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)"
		" ON CONFLICT (owner, name) DO NOTHING RETURNING " SCHEDULE_COLUMNS;
	static const char *const update =
		"UPDATE defer.schedule AS s SET (name, owner, kind, function, function_owner, command, schedule, timezone,"
		" overlap, catch_up, catch_up_window, jitter, active, allow_direct, queue, priority,"
		" group_key, starts_at, ends_at, max_runs, pause_after_failures, when_done, when_done_owner)"
		" = ROW ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)"
		" WHERE s.id OPERATOR(pg_catalog.=) $1 RETURNING " SCHEDULE_COLUMNS;
	Oid			types[] = {
		INT8OID, TEXTOID, REGROLEOID, CHAROID, TEXTOID, REGROLEOID, TEXTOID, TEXTOID, TEXTOID,
		TEXTOID, TEXTOID, INTERVALOID, INTERVALOID, BOOLOID, BOOLOID, TEXTOID, INT4OID,
		TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, INT4OID, TEXTOID, REGROLEOID
	};
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types)];
	Schedule   *rows;
	int			n = 0;

#define ADD(value) (nulls[n] = ' ', values[n++] = (value))
#define ADD_TEXT(string) \
	(nulls[n] = (string) == NULL ? 'n' : ' ', \
	 values[n++] = (string) == NULL ? (Datum) 0 : CStringGetTextDatum(string))
	ADD(Int64GetDatum(s->id));
	ADD_TEXT(s->name);
	ADD(ObjectIdGetDatum(s->owner));
	ADD(CharGetDatum(s->kind));
	ADD_TEXT(s->function);
	ADD(ObjectIdGetDatum(s->function_owner));
	nulls[n - 1] = OidIsValid(s->function_owner) ? ' ' : 'n';
	ADD_TEXT(s->command);
	ADD_TEXT(s->schedule);
	ADD_TEXT(s->timezone);
	ADD_TEXT(s->overlap);
	ADD_TEXT(s->catch_up);
	ADD(IntervalPGetDatum(s->catch_up_window));
	ADD(IntervalPGetDatum(s->jitter));
	ADD(BoolGetDatum(s->active));
	ADD(BoolGetDatum(s->allow_direct));
	ADD_TEXT(s->queue);
	ADD(Int32GetDatum(s->priority));
	nulls[n - 1] = s->has_priority ? ' ' : 'n';
	ADD_TEXT(s->group_key);
	ADD(TimestampTzGetDatum(s->starts_at));
	nulls[n - 1] = s->starts_at != NO_TIME ? ' ' : 'n';
	ADD(TimestampTzGetDatum(s->ends_at));
	nulls[n - 1] = s->ends_at != NO_TIME ? ' ' : 'n';
	ADD(Int32GetDatum(s->max_runs));
	nulls[n - 1] = s->max_runs > 0 ? ' ' : 'n';
	ADD(Int32GetDatum(s->pause_after_failures));
	nulls[n - 1] = s->pause_after_failures > 0 ? ' ' : 'n';
	ADD_TEXT(s->when_done);
	ADD(ObjectIdGetDatum(s->when_done_owner));
	nulls[n - 1] = s->when_done != NULL ? ' ' : 'n';
#undef ADD
#undef ADD_TEXT
	Assert(n == lengthof(types));
	if (schedule_query(s->id == 0 ? insert : update, n, types, values, nulls, &rows) == 0)
		return false;
	s->id = rows[0].id;
	return true;
}

/* Check whether the function could be called directly until now, and not any more */
static bool
ends_direct_calls(const Schedule *s, const Schedule *before)
{
	if (s->kind == JOB_COMMAND || s->kind == JOB_WORKFLOW || s->allow_direct)
		return false;
	return before == NULL || before->allow_direct || strcmp(s->function, before->function) != 0;
}

/* Announce the schedule in English, for its author */
static void
announce(const Schedule *s, const Schedule *before, const ScheduleClock *clock)
{
	char		description[CRON_DESCRIPTION_MAX];

	cron_describe(&clock->cron, description, sizeof(description));
	ereport(NOTICE,
			(errmsg("schedule \"%s\": %s, %s", s->name, description, s->timezone),
			 s->active ? errdetail("Next time: %s.", timestamptz_to_str(s->next_tick)) :
			 errdetail("It is not active."),
			 ends_direct_calls(s, before) ?
			 errhint("Direct calls of %s are errors from now on: use defer.trigger(), or allow_direct => true.",
					 s->function) : 0));
}

/*
 * Note who pauses it and when, or that it is active again: then failures are
 * counted anew.  A reason that the caller has set stays.
 */
static void
note_pause(Schedule *s, const Schedule *before)
{
	bool		was_active = before == NULL || before->active;

	if (s->active && schedule_has_run_all(s))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("schedule \"%s\" has had all of its %d runs", s->name, s->max_runs),
				 errhint("Raise max_runs with defer.alter_cron().")));
	if (s->active && !was_active)
		s->failures = 0;
	else if (!s->active && was_active)
		schedule_pause(s, GetUserNameFromId(GetUserId(), false), NULL);
}

static bool
interval_same(const Interval *a, const Interval *b)
{
	return schedule_interval(a) == schedule_interval(b);
}

/*
 * Write a schedule; "before" is what was there, or NULL.  As long as its times
 * are the same it keeps its next tick, which may be due already: to make the
 * same schedule again at each deployment loses nothing.  False: see
 * write_schedule().
 */
bool
schedule_save(Schedule *s, const Schedule *before, bool quiet)
{
	TimestampTz now = GetCurrentTimestamp();
	ScheduleClock clock;
	char	   *error;
	bool		goes_on = s->active || before == NULL || before->active;

	if (!schedule_clock_open(&clock, s, &error))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schedule \"%s\" cannot be used: %s", s->name, error)));
	if (s->starts_at != NO_TIME && s->ends_at != NO_TIME && s->starts_at >= s->ends_at)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be before \"%s\"", "starts_at", "ends_at")));
	if (!write_schedule(s))
		return false;
	note_pause(s, before);
	if (before == NULL || !before->active || before->next_tick == NO_TIME ||
		strcmp(s->schedule, before->schedule) != 0 || strcmp(s->timezone, before->timezone) != 0 ||
		!interval_same(s->jitter, before->jitter) ||
		s->starts_at != before->starts_at || s->ends_at != before->ends_at)
		schedule_advance(s, &clock, now, now);
	if (s->next_tick == NO_TIME && goes_on)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schedule \"%s\" does not fire any more", schedule_shown(s->schedule)),
				 s->ends_at == NO_TIME ? 0 :
				 errdetail("None of its times is before ends_at, %s.",
						   timestamptz_to_str(s->ends_at))));
	schedule_write_times(s);
	if (s->active)
		xact_notify_schedule(s->next_run_at);
	if (!quiet)
		announce(s, before, &clock);
	return true;
}

/* The schedules of a function are others now; its name may have none any more */
void
schedule_signature_changed(const Schedule *s)
{
	FunctionEntry *entry;

	if (s->kind == JOB_COMMAND || s->kind == JOB_WORKFLOW)
		return;
	entry = function_by_signature(s->function);
	if (entry != NULL)
		direct_call_changed(entry->oid);
}

/* Each node of Citus would fire a schedule once */
static void
check_coordinator(void)
{
	if (citus_node() == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("node %d of Citus fires no schedules", citus_node()),
			 errhint("Make the schedule on the coordinator. What its run enqueues for rows of a distributed table runs on the nodes that have them.")));
}

/* See schedule/schedule.h */
int64
schedule_make(Schedule *s, bool named, bool quiet)
{
	CronSchedule cron;

	schedule_parse(s->schedule, &cron);
	schedule_check_name(s->name);
	check_coordinator();
	for (int i = 0; i < 3; i++)
	{
		Schedule	before;
		bool		there = schedule_lock_by_name(s->owner, s->name, &before);

		s->id = 0;
		if (!there)
			quota_check("schedule", "schedules", s->owner);
		else
		{
			if (!named && strcmp(before.function, s->function) != 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_OBJECT),
						 errmsg("there is a schedule \"%s\" of %s", s->name, before.function),
						 errhint("Give this one a name of its own, with name => '...'.")));
			s->id = before.id;
			s->next_tick = before.next_tick;
			s->next_run_at = before.next_run_at;
			s->last_tick = before.last_tick;
			s->last_run_at = before.last_run_at;
			s->runs = before.runs;
			s->failures = before.failures;
			s->paused_at = before.paused_at;
			s->paused_by = before.paused_by;
			s->pause_reason = before.pause_reason;
			if (!s->active_given)
				s->active = before.active;
		}
		if (!schedule_save(s, there ? &before : NULL, quiet))
			continue;
		if (there)
			schedule_signature_changed(&before);
		schedule_signature_changed(s);
		return s->id;
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("schedule \"%s\" was changed by another session", s->name),
			 errhint("Try again.")));
}
