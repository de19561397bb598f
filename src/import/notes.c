/*
 * notes.c
 *		What defer.import_pg_cron() says of a job: where pg_cron runs it at other
 *		times than its text says, and how to get those.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "import/import.h"

/* How far ahead changes of clocks are looked at: a year and some */
#define CLOCK_DAYS	400

/* Width of a change of clocks that is looked at: not that of a missing day */
#define CLOCK_WIDTH	(4 * SECS_PER_HOUR)

void
import_note(Outcome *outcome, const char *format,...)
{
	StringInfo	s = &outcome->note;

	if (s->len > 0)
		appendStringInfoChar(s, ' ');
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(s, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(s, needed);
	}
}

/* A schedule of ours in English */
char *
import_english(const char *text)
{
	CronSchedule cron;
	char		description[CRON_DESCRIPTION_MAX];

	if (!cron_parse(text, &cron, NULL))
		return "";
	cron_describe(&cron, description, sizeof(description));
	return pstrdup(description);
}

static char *
piece(const char *text, PgCronPiece p)
{
	return schedule_shown(pnstrdup(text + p.pos, p.length));
}

/* The call that changes the schedule as the note says, for the user to paste */
char *
import_alter_call(const Schedule *s, const char *option, const char *value)
{
	return psprintf("SELECT defer.alter_cron(%s, %s => %s);%s",
					quote_literal_cstr(s->name), option, value,
					s->owner == GetUserId() ? "" :
					psprintf(" as the role %s", quote_identifier(GetUserNameFromId(s->owner, false))));
}

/* What pg_cron makes of a text that it takes otherwise than it is written */
void
import_note_reading(Outcome *outcome, const char *text, const PgCronSchedule *theirs)
{
	if (theirs->ignored.length > 0)
		import_note(outcome, "It ignores \"%s\".", piece(text, theirs->ignored));
	if (theirs->rest.length > 0)
		import_note(outcome, "It ignores what follows the %s, \"%s\".",
					theirs->macro ? "name" : "fifth field", piece(text, theirs->rest));
	if (theirs->reversed.length > 0)
		import_note(outcome, "The range \"%s\" goes down, and does not wrap around in pg_cron.",
					piece(text, theirs->reversed));
	if (theirs->large_step)
		import_note(outcome, "A step is larger than any value of its field; pg_cron refuses that from 1.6.5 on.");
}

static char *
times(int n)
{
	static const char *const words[] = {"never", "once", "twice"};

	return n < lengthof(words) ? pstrdup(words[n]) : psprintf("%d times", n);
}

/*
 * Where the clock is changed the same fields are run at other times: pg_cron
 * takes what the wall clock shows, we run each fixed time once.
 */
void
import_note_clocks(Outcome *outcome, const Import *import, const PgCronSchedule *theirs,
				   const Schedule *s)
{
	ScheduleClock clock;
	int64		now = (int64) timestamptz_to_time_t(GetCurrentTimestamp());
	int64		at = now;
	char	   *error;

	if (!schedule_clock_open(&clock, s, &error) || clock.zone == NULL ||
		clock.cron.interval > 0 || clock.cron.minutes_star || clock.cron.hours_star)
		return;
	for (int i = 0; i < 10; i++)
	{
		int32		before;
		int32		after;
		int32		width;
		int			their_runs = 0;
		int			our_runs = 0;
		int64		change;
		int64		from;

		clock.zone->lookup(clock.zone->arg, at, &before, &from, &change);
		if (change > now + CLOCK_DAYS * SECS_PER_DAY)
			return;
		clock.zone->lookup(clock.zone->arg, change, &after, &from, &at);
		at = change;
		width = Min(abs(after - before), CLOCK_WIDTH);
		for (int64 t = change - width; t < change + width; t += SECS_PER_MINUTE)
		{
			int64		next;

			their_runs += pg_cron_matches(theirs, &import->cron.rules,
										  t + (t < change ? before : after));
			our_runs += cron_next(&clock.cron, clock.zone, t - 1, &next) && next == t;
		}
		if (their_runs == our_runs)
			continue;
		import_note(outcome, "Around the change of clocks at %s pg_cron would run it %s, defer runs it %s.",
					timestamptz_to_str(time_t_to_timestamptz((pg_time_t) change)),
					times(their_runs), times(our_runs));
	}
}
