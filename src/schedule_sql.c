/*
 * schedule_sql.c
 *		The SQL functions about schedules.
 *
 * A schedule belongs to the role that made it, and its name is that role's
 * own.  Members of the role manage it as well: a name is looked for among the
 * caller's own schedules first, then among all that the caller may manage.
 * Rows are only locked once it is known that the caller may: or else anyone
 * could hold up anyone's ticks.
 */
#include "schedule.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "setting_values.h"

PG_FUNCTION_INFO_V1(defer_cron);
PG_FUNCTION_INFO_V1(defer_cron_command);
PG_FUNCTION_INFO_V1(defer_alter_cron);
PG_FUNCTION_INFO_V1(defer_unschedule);
PG_FUNCTION_INFO_V1(defer_trigger);
PG_FUNCTION_INFO_V1(defer_cron_next);
PG_FUNCTION_INFO_V1(defer_cron_describe);
PG_FUNCTION_INFO_V1(defer_run_schedules);

/* Bytes of a schedule's name, and of a schedule's text in a message */
#define NAME_BYTES		200
#define SHOWN_BYTES		100

/* Most instants that defer.cron_next() returns */
#define NEXT_MAX		100000

/* ------------------------------------------------------------------------
 * Checks
 * ------------------------------------------------------------------------ */

/* What a user wrote, fit for one line of a message */
static char *
shown(const char *text)
{
	int			length = pg_mbcliplen(text, strlen(text), SHOWN_BYTES);
	char	   *copy = palloc(length + 4);

	memcpy(copy, text, length);
	for (int i = 0; i < length; i++)
	{
		if ((unsigned char) copy[i] < ' ' || copy[i] == 0x7f)
			copy[i] = '?';
	}
	strcpy(copy + length, text[length] != '\0' ? "..." : "");
	return copy;
}

static void
parse_schedule(const char *text, CronSchedule *cron)
{
	CronError	error;

	if (cron_parse(text, cron, &error))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid schedule \"%s\": %s", shown(text), error.message),
			 error.length > 0 && error.position + error.length <= strlen(text) ?
			 errdetail("At character %d: \"%s\".",
					   pg_mbstrlen_with_len(text, error.position) + 1,
					   shown(pnstrdup(text + error.position, error.length))) :
			 errdetail("At character %d.",
					   pg_mbstrlen_with_len(text, Min(error.position, strlen(text))) + 1),
			 error.hint[0] != '\0' ? errhint("%s", error.hint) : 0));
}

static pg_tz *
check_zone(const char *name)
{
	pg_tz	   *tz = schedule_zone(name);

	if (tz == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" does not exist", shown(name)),
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
			 errmsg("invalid value for \"%s\": \"%s\"", parameter, shown(value)),
			 errhint("Valid values are %s.", list.data)));
}

static void
check_name(const char *name)
{
	int			length = strlen(name);

	if (length == 0 || length > NAME_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("the name of a schedule must have 1 to %d bytes", NAME_BYTES)));
	for (int i = 0; i < length; i++)
	{
		if ((unsigned char) name[i] < ' ' || name[i] == 0x7f)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_NAME),
					 errmsg("the name of a schedule must not contain control characters")));
	}
}

static void
check_queue(const char *name, Oid owner)
{
	const QueueSettings *queue = queue_settings(name);

	if (!queue->found)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("queue \"%s\" does not exist", shown(name)),
				 errhint("Make it with defer.create_queue().")));
	if (!queue_usable_by(name, queue, owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for queue \"%s\"", name),
				 errhint("Its owner can allow it with defer.grant_queue().")));
}

static void
check_jitter(const Interval *jitter)
{
	if (setting_interval("jitter", jitter) > USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be more than a day", "jitter")));
}

/* The function that a user means, for a schedule of that role */
static FunctionEntry *
check_function(const char *name, Oid owner)
{
	FunctionEntry *entry = function_resolve_name(name);
	char		type = get_typtype(entry->result_type);

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
	return entry;
}

/* ------------------------------------------------------------------------
 * Arguments
 * ------------------------------------------------------------------------ */

static char *
text_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	require_argument(fcinfo, n, name);
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static Interval *
interval_argument(FunctionCallInfo fcinfo, int n)
{
	Interval   *copy = palloc(sizeof(Interval));

	*copy = *PG_GETARG_INTERVAL_P(n);
	return copy;
}

/* What holds where nothing is given */
static void
default_options(Schedule *s)
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
}

/*
 * Options that all the functions have, at the arguments from "first" on:
 * timezone, overlap, catch_up, catch_up_window, jitter, active, queue,
 * priority.  NULL leaves what is in *s.
 */
static void
read_options(FunctionCallInfo fcinfo, int first, Schedule *s)
{
	static const char *const overlaps[] = {"skip", "queue", "allow", "replace"};
	static const char *const catch_ups[] = {"none", "one", "all"};

	if (!PG_ARGISNULL(first))
		s->timezone = pstrdup(pg_get_timezone_name(check_zone(text_to_cstring(PG_GETARG_TEXT_PP(first)))));
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
		s->active = PG_GETARG_BOOL(first + 5);
	if (!PG_ARGISNULL(first + 6))
	{
		s->queue = text_to_cstring(PG_GETARG_TEXT_PP(first + 6));
		check_queue(s->queue, s->owner);
	}
	if (!PG_ARGISNULL(first + 7))
	{
		s->has_priority = true;
		s->priority = PG_GETARG_INT32(first + 7);
	}
}

/* ------------------------------------------------------------------------
 * Finding and writing rows
 * ------------------------------------------------------------------------ */

/* The schedule of a role with a name, locked */
static bool
lock_own_schedule(Oid owner, const char *name, Schedule *s)
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

/* Does the user mean this one: by its name, or by that of its function? */
static bool
matches(const Schedule *s, const char *name, bool by_function)
{
	const char *base = s->function;
	char	   *call = psprintf("%s()", name);
	bool		quoted = false;

	if (!by_function)
		return strcmp(s->name, name) == 0;
	if (s->kind == JOB_COMMAND)
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
						"several roles have a schedule \"%s\"", shown(name)),
				 by_function ? errhint("Use the schedule's name: see defer.schedules.") :
				 errhint("Use SET ROLE to become the role whose schedule it is.")));
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

static void
no_such_schedule(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("schedule \"%s\" does not exist", shown(name)),
			 errhint("The view defer.schedules has those that you may see.")));
}

/* Insert or update; false: another session has just inserted that name */
static bool
write_schedule(Schedule *s)
{
	static const char *const insert =
		"INSERT INTO defer.schedule AS s (name, owner, kind, function, command, schedule, timezone,"
		" overlap, catch_up, catch_up_window, jitter, active, allow_direct, queue, priority)"
		" VALUES ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
		" ON CONFLICT (owner, name) DO NOTHING RETURNING " SCHEDULE_COLUMNS;
	static const char *const update =
		"UPDATE defer.schedule AS s SET (name, owner, kind, function, command, schedule, timezone,"
		" overlap, catch_up, catch_up_window, jitter, active, allow_direct, queue, priority)"
		" = ROW ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
		" WHERE s.id OPERATOR(pg_catalog.=) $1 RETURNING " SCHEDULE_COLUMNS;
	Oid			types[] = {
		INT8OID, TEXTOID, REGROLEOID, CHAROID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
		TEXTOID, TEXTOID, INTERVALOID, INTERVALOID, BOOLOID, BOOLOID, TEXTOID, INT4OID
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
#undef ADD
#undef ADD_TEXT
	Assert(n == lengthof(types));
	if (schedule_query(s->id == 0 ? insert : update, n, types, values, nulls, &rows) == 0)
		return false;
	s->id = rows[0].id;
	return true;
}

/* ------------------------------------------------------------------------
 * Making and changing
 * ------------------------------------------------------------------------ */

/* In English, for whoever has made it */
static void
announce(const Schedule *s, const ScheduleClock *clock)
{
	char		description[CRON_DESCRIPTION_MAX];

	cron_describe(&clock->cron, description, sizeof(description));
	ereport(NOTICE,
			(errmsg("schedule \"%s\": %s, %s", s->name, description, s->timezone),
			 s->active ? errdetail("Next time: %s.", timestamptz_to_str(s->next_tick)) :
			 errdetail("It is not active.")));
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
static bool
save_schedule(Schedule *s, const Schedule *before)
{
	TimestampTz now = GetCurrentTimestamp();
	ScheduleClock clock;
	char	   *error;

	if (!schedule_clock_open(&clock, s, &error))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schedule \"%s\" cannot be used: %s", s->name, error)));
	if (!write_schedule(s))
		return false;
	if (before == NULL || !before->active || before->next_tick == NO_TIME ||
		strcmp(s->schedule, before->schedule) != 0 || strcmp(s->timezone, before->timezone) != 0 ||
		!interval_same(s->jitter, before->jitter))
		schedule_advance(s, &clock, now, now);
	if (s->next_tick == NO_TIME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schedule \"%s\" does not fire any more", shown(s->schedule))));
	schedule_write_times(s);
	if (s->active)
		pending_schedule(s->next_run_at);
	announce(s, &clock);
	return true;
}

/* The schedules of a function are others now; its name may have none any more */
static void
signature_changed(const Schedule *s)
{
	FunctionEntry *entry;

	if (s->kind == JOB_COMMAND)
		return;
	entry = function_by_signature(s->function);
	if (entry != NULL)
		guard_changed(entry->oid);
}

/*
 * Make the schedule of that name, or change the one that is there.  "named" is
 * false if nobody has chosen the name: then it must not hit a schedule of
 * something else.
 */
static int64
make_schedule(Schedule *s, bool named)
{
	CronSchedule cron;

	parse_schedule(s->schedule, &cron);
	check_name(s->name);
	for (int i = 0; i < 3; i++)
	{
		Schedule	before;
		bool		there = lock_own_schedule(s->owner, s->name, &before);

		s->id = 0;
		if (there)
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
		}
		if (!save_schedule(s, there ? &before : NULL))
			continue;
		if (there)
			signature_changed(&before);
		signature_changed(s);
		return s->id;
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("schedule \"%s\" was changed by another session", s->name),
			 errhint("Try again.")));
}

/*
 * defer.cron(function, schedule, name, timezone, overlap, catch_up,
 * catch_up_window, jitter, active, queue, priority, allow_direct)
 */
Datum
defer_cron(PG_FUNCTION_ARGS)
{
	FunctionEntry *entry;
	Schedule	s;

	PreventCommandIfReadOnly("defer.cron()");
	default_options(&s);
	entry = check_function(text_argument(fcinfo, 0, "function"), s.owner);
	s.kind = entry->kind;
	s.function = pstrdup(entry->signature);
	s.name = get_func_name(entry->oid);
	s.schedule = text_argument(fcinfo, 1, "schedule");
	if (!PG_ARGISNULL(2))
		s.name = text_to_cstring(PG_GETARG_TEXT_PP(2));
	read_options(fcinfo, 3, &s);
	s.allow_direct = !PG_ARGISNULL(11) && PG_GETARG_BOOL(11);
	warn_if_not_preloaded();
	PG_RETURN_INT64(make_schedule(&s, !PG_ARGISNULL(2)));
}

/*
 * defer.cron_command(name, schedule, sql, timezone, overlap, catch_up,
 * catch_up_window, jitter, active, queue, priority)
 */
Datum
defer_cron_command(PG_FUNCTION_ARGS)
{
	Schedule	s;

	PreventCommandIfReadOnly("defer.cron_command()");
	default_options(&s);
	s.kind = JOB_COMMAND;
	s.function = COMMAND_FUNCTION;
	s.name = text_argument(fcinfo, 0, "name");
	s.schedule = text_argument(fcinfo, 1, "schedule");
	s.command = text_argument(fcinfo, 2, "sql");
	command_check(s.command);
	read_options(fcinfo, 3, &s);
	warn_if_not_preloaded();
	PG_RETURN_INT64(make_schedule(&s, true));
}

/* What a schedule runs: to change it is to act as its owner */
static void
alter_work(FunctionCallInfo fcinfo, int function, int sql, Schedule *s)
{
	FunctionEntry *entry;

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
		s->command = text_to_cstring(PG_GETARG_TEXT_PP(sql));
		command_check(s->command);
		return;
	}
	entry = check_function(text_to_cstring(PG_GETARG_TEXT_PP(function)), s->owner);
	s->kind = entry->kind;
	s->function = pstrdup(entry->signature);
	s->command = NULL;
}

/*
 * defer.alter_cron(name, schedule, timezone, overlap, catch_up,
 * catch_up_window, jitter, active, queue, priority, allow_direct, function,
 * sql)
 */
Datum
defer_alter_cron(PG_FUNCTION_ARGS)
{
	char	   *name = text_argument(fcinfo, 0, "name");
	Schedule	before;
	Schedule	s;
	CronSchedule cron;
	int64		id;

	PreventCommandIfReadOnly("defer.alter_cron()");
	id = find_schedule(name, false);
	if (id == 0 || !read_schedule(id, true, &before))
		no_such_schedule(name);
	s = before;
	if (!PG_ARGISNULL(1))
		s.schedule = text_to_cstring(PG_GETARG_TEXT_PP(1));
	parse_schedule(s.schedule, &cron);
	read_options(fcinfo, 2, &s);
	if (PG_ARGISNULL(2))
		(void) check_zone(s.timezone);
	if (!PG_ARGISNULL(10))
		s.allow_direct = PG_GETARG_BOOL(10);
	alter_work(fcinfo, 11, 12, &s);
	if (!save_schedule(&s, &before))
		no_such_schedule(name);
	signature_changed(&before);
	signature_changed(&s);
	PG_RETURN_VOID();
}

/* defer.unschedule(name) */
Datum
defer_unschedule(PG_FUNCTION_ARGS)
{
	char	   *name = text_argument(fcinfo, 0, "name");
	Oid			type = INT8OID;
	Datum		value;
	Schedule	s;
	int64		id;

	PreventCommandIfReadOnly("defer.unschedule()");
	id = find_schedule(name, false);
	if (id == 0 || !read_schedule(id, true, &s))
		PG_RETURN_BOOL(false);
	value = Int64GetDatum(id);
	schedule_query("DELETE FROM defer.schedule s WHERE s.id OPERATOR(pg_catalog.=) $1",
				   1, &type, &value, NULL, NULL);
	signature_changed(&s);
	PG_RETURN_BOOL(true);
}

/* ------------------------------------------------------------------------
 * Running now
 * ------------------------------------------------------------------------ */

/* defer.trigger(name) */
Datum
defer_trigger(PG_FUNCTION_ARGS)
{
	char	   *name = text_argument(fcinfo, 0, "name");
	const char *sqlstate;
	char	   *error;
	Schedule	s;
	Job			job;
	int64		id;

	PreventCommandIfReadOnly("defer.trigger()");
	warn_if_not_preloaded();
	id = find_schedule(name, true);
	if (id == 0 || !read_schedule(id, false, &s))
		no_such_schedule(name);
	if (!schedule_make_job(&s, GetCurrentTimestamp(), &job, &sqlstate, &error))
		ereport(ERROR,
				(errcode(MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3], sqlstate[4])),
				 errmsg("schedule \"%s\" cannot run: %s", s.name, error),
				 errhint("Put it right with defer.alter_cron().")));
	if (current_job.job != NULL)
		job.parent_id = current_job.job->id;
	PG_RETURN_INT64(job_insert(&job));
}

/* defer.run_schedules(as_of): for tests, and for whoever keeps time themselves */
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

/* ------------------------------------------------------------------------
 * Looking
 * ------------------------------------------------------------------------ */

typedef struct NextState
{
	ScheduleClock clock;
	TimestampTz after;
} NextState;

/* defer.cron_next(schedule, timezone, after, n) */
Datum
defer_cron_next(PG_FUNCTION_ARGS)
{
	FuncCallContext *context;
	NextState  *state;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;
		TimestampTz after = PG_GETARG_TIMESTAMPTZ(2);
		int32		n = PG_GETARG_INT32(3);

		if (TIMESTAMP_NOT_FINITE(after))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" must be finite", "after")));
		if (n < 0 || n > NEXT_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" must be between 0 and %d", "n", NEXT_MAX)));
		context = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(context->multi_call_memory_ctx);
		state = palloc(sizeof(NextState));
		parse_schedule(text_to_cstring(PG_GETARG_TEXT_PP(0)), &state->clock.cron);
		state->clock.zone = cron_zone_open(&state->clock.cache,
										   check_zone(text_to_cstring(PG_GETARG_TEXT_PP(1))));
		state->after = after;
		context->user_fctx = state;
		context->max_calls = n;
		MemoryContextSwitchTo(old);
	}
	context = SRF_PERCALL_SETUP();
	state = context->user_fctx;
	if (context->call_cntr < context->max_calls &&
		schedule_next(&state->clock, state->after, &state->after))
		SRF_RETURN_NEXT(context, TimestampTzGetDatum(state->after));
	SRF_RETURN_DONE(context);
}

/* defer.cron_describe(schedule) */
Datum
defer_cron_describe(PG_FUNCTION_ARGS)
{
	CronSchedule cron;
	char		description[CRON_DESCRIPTION_MAX];

	parse_schedule(text_to_cstring(PG_GETARG_TEXT_PP(0)), &cron);
	cron_describe(&cron, description, sizeof(description));
	PG_RETURN_TEXT_P(cstring_to_text(description));
}
