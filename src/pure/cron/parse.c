/*
 * parse.c
 *		From text to CronSchedule, strictly: text that is not fully understood
 *		is an error that says where it is and what would be allowed there.
 *
 *		schedule	field{5,6} | "@" name | "every" { [number] unit }
 *
 * parse_field.c has the grammar of a field, parse_every.c that of an interval.
 * Letters may be of either case.  Fields are separated by blanks or tabs.
 */
#include "pure/cron/parse_text.h"

#include <string.h>

/* A local time, and after how many seconds the calendar repeats itself */
#define YEAR_2000	INT64_C(946684800)
#define CALENDAR	(INT64_C(146097) * 86400)

/* The words of a text, up to one more than a schedule can have */
typedef struct Words
{
	int			n;
	int			start[N_FIELDS + 1];
	int			end[N_FIELDS + 1];
} Words;

static const char which_fields[] =
"Five fields are minute, hour, day of month, month and day of week; a sixth in "
"front is the second. Example: \"0 8 * * mon\" is each Monday at 08:00.";

static void
split_words(const char *text, Words *words)
{
	int			pos = 0;

	words->n = 0;
	for (;;)
	{
		while (is_blank(text[pos]))
			pos++;
		if (text[pos] == '\0' || words->n > N_FIELDS)
			return;
		words->start[words->n] = pos;
		while (text[pos] != '\0' && !is_blank(text[pos]))
			pos++;
		words->end[words->n++] = pos;
	}
}

static bool
is_star(char c)
{
	return c == '*' || c == '?';
}

/* Names of the days and months, when no date in 400 years has them */
static bool
fail_never(CronParser *p, const Words *w)
{
	int			day = w->start[w->n - 3];
	int			day_length = w->end[w->n - 3] - day;
	int			month = w->start[w->n - 2];
	int			month_size = w->end[w->n - 2] - month;
	int			weekday = w->start[w->n - 1];
	int			weekday_size = w->end[w->n - 1] - weekday;
	CronSchedule any_weekday = *p->out;
	int64_t		found;

	/*
	 * check whether it is the day of week that leaves nothing of the days
	 * there are
	 */
	any_weekday.weekdays = 0x7f;
	if (p->out->days != UINT32_C(0xfffffffe) &&
		cron_next_local(&any_weekday, YEAR_2000, &found))
	{
		cron_fail(p, weekday, weekday_size, "",
				  "schedule can never fire: in no month \"%.*s\" is the day "
				  "\"%.*s\" a day of week \"%.*s\"", quoted(month_size),
				  p->text + month, quoted(day_length), p->text + day,
				  quoted(weekday_size), p->text + weekday);
		return cron_hint(p, "As one of the two begins with *, both the day of "
						 "month and the day of week must match.");
	}
	if (is_star(p->text[day]))
	{
		cron_fail(p, weekday, weekday_size, "",
				  "schedule can never fire: no month \"%.*s\" has the day of week "
				  "\"%.*s\"", quoted(month_size), p->text + month,
				  quoted(weekday_size), p->text + weekday);
		return cron_hint(p, "February has at most 29 days, and a fifth of a "
						 "weekday only if that is the 29th.");
	}
	cron_fail(p, day, day_length, "",
			  "schedule can never fire: no month \"%.*s\" has the day \"%.*s\"",
			  quoted(month_size), p->text + month, quoted(day_length),
			  p->text + day);
	return cron_hint(p, "April, June, September and November have 30 days, "
					 "February has 28 or 29. \"L\" is the last day of any month.");
}

/* The words are the fields */
static bool
parse_fields(CronParser *p, const Words *w)
{
	CronSchedule *out = p->out;
	int			first = w->n == N_FIELDS ? 0 : 1;
	uint64_t	values[N_FIELDS] = {1};
	bool		star[N_FIELDS] = {false};
	int64_t		found;
	int			i;

	for (i = first; i < N_FIELDS; i++)
	{
		if (!cron_parse_field(p, (CronField) i, w->start[i - first],
							  w->end[i - first]))
			return false;
		values[i] = p->values;
		star[i] = is_star(p->text[w->start[i - first]]);
	}
	out->seconds = values[FIELD_SECOND];
	out->minutes = values[FIELD_MINUTE];
	out->hours = (uint32_t) values[FIELD_HOUR];
	out->days = (uint32_t) values[FIELD_DAY];
	out->months = (uint16_t) values[FIELD_MONTH];
	out->weekdays = (uint8_t) values[FIELD_WEEKDAY];
	out->minutes_star = star[FIELD_MINUTE];
	out->hours_star = star[FIELD_HOUR];
	out->days_star = star[FIELD_DAY];
	out->weekdays_star = star[FIELD_WEEKDAY];

	if (!cron_next_local(out, YEAR_2000, &found) ||
		found >= YEAR_2000 + CALENDAR)
		return fail_never(p, w);
	return true;
}

static bool
parse_macro(CronParser *p, const Words *w)
{
	static const struct
	{
		const char *name;
		const char *fields;
	}			macros[] =
	{
		{"@yearly", "0 0 1 1 *"},
		{"@annually", "0 0 1 1 *"},
		{"@monthly", "0 0 1 * *"},
		{"@weekly", "0 0 * * 0"},
		{"@daily", "0 0 * * *"},
		{"@midnight", "0 0 * * *"},
		{"@hourly", "0 * * * *"},
	};
	static const char allowed[] =
		"Allowed: @yearly, @annually, @monthly, @weekly, @daily, @midnight, "
		"@hourly. For other intervals write, for example, \"every 90 "
		"seconds\".";
	const char *word = p->text + w->start[0];
	int			length = w->end[0] - w->start[0];
	Words		fields;
	size_t		i;

	for (i = 0; i < sizeof(macros) / sizeof(macros[0]); i++)
	{
		if (!cron_word_is(word, length, macros[i].name))
			continue;
		if (w->n > 1)
			return cron_fail(p, w->start[1], w->end[1] - w->start[1], allowed,
							 "unexpected \"%.*s\" after \"%.*s\"",
							 quoted(w->end[1] - w->start[1]),
							 p->text + w->start[1], length, word);
		p->text = macros[i].fields;
		split_words(p->text, &fields);
		return parse_fields(p, &fields);
	}
	return cron_fail(p, w->start[0], length, allowed, "unknown schedule \"%.*s\"",
					 quoted(length), word);
}

/* Characters and length: what all the rest relies on */
static bool
check_text(CronParser *p)
{
	int			i;

	for (i = 0; p->text[i] != '\0'; i++)
	{
		unsigned char c = (unsigned char) p->text[i];

		if (i >= CRON_TEXT_MAX)
			return cron_fail(p, i, 0, which_fields,
							 "schedule is longer than %d characters",
							 CRON_TEXT_MAX);
		if ((c < ' ' && c != '\t') || c >= 0x7f)
			return cron_fail_character(p, i);
	}
	return true;
}

bool
cron_parse(const char *text, CronSchedule *out, CronError *err)
{
	CronParser	parser;
	CronParser *p = &parser;
	Words		words;

	memset(p, 0, sizeof(*p));
	p->text = text;
	p->err = err;
	p->out = out;
	memset(out, 0, sizeof(*out));
	if (!check_text(p))
		return false;
	split_words(text, &words);
	if (words.n == 0)
		return cron_fail(p, 0, 0, which_fields, "schedule is empty");
	if (text[words.start[0]] == '@')
		return parse_macro(p, &words);
	if (cron_word_is(text + words.start[0], words.end[0] - words.start[0], "every"))
		return cron_parse_every(p, words.end[0]);
	if (words.n > N_FIELDS)
		return cron_fail(p, words.start[N_FIELDS],
						 words.end[N_FIELDS] - words.start[N_FIELDS], which_fields,
						 "schedule has more than 6 fields");
	if (words.n < N_FIELDS - 1)
		return cron_fail(p, words.end[words.n - 1], 0, which_fields,
						 "schedule has %d field%s, but needs 5 or 6", words.n,
						 words.n == 1 ? "" : "s");
	return parse_fields(p, &words);
}
