/*
 * parse_text.c
 *		Characters and errors, for all that is read of a schedule.
 */
#include "pure/cron/parse_text.h"

#include <stdarg.h>
#include <stdio.h>

bool
cron_fail(CronParser *p, int pos, int length, const char *hint, const char *format,...)
{
	va_list		args;

	if (p->err == NULL)
		return false;
	p->err->position = pos;
	p->err->length = length;
	va_start(args, format);
	vsnprintf(p->err->message, sizeof(p->err->message), format, args);
	va_end(args);
	snprintf(p->err->hint, sizeof(p->err->hint), "%s",
			 hint != NULL ? hint : p->rule->allowed);
	return false;
}

bool
cron_hint(CronParser *p, const char *format,...)
{
	va_list		args;

	if (p->err == NULL)
		return false;
	va_start(args, format);
	vsnprintf(p->err->hint, sizeof(p->err->hint), format, args);
	va_end(args);
	return false;
}

bool
cron_word_is(const char *text, int length, const char *name)
{
	int			i;

	for (i = 0; i < length; i++)
		if (lower(text[i]) != name[i])
			return false;		/* also when the name ends first */
	return name[length] == '\0';
}

/* End of the run of letters, or of digits, or of the one character at pos */
int
cron_token_end(const CronParser *p, int pos)
{
	int			end = pos;

	if (pos >= p->end)
		return pos;
	while (end < p->end && is_digit(p->text[end]))
		end++;
	if (end > pos)
		return end;
	while (end < p->end && is_letter(p->text[end]))
		end++;
	return end > pos ? end : pos + 1;
}

/* What stands at the position cannot stand there */
bool
cron_fail_unexpected(CronParser *p)
{
	int			length = cron_token_end(p, p->pos) - p->pos;

	if (p->pos >= p->end || p->text[p->pos] == ',')
		return cron_fail(p, p->pos, p->pos < p->end, NULL,
						 "value expected for the %s", p->rule->name);
	return cron_fail(p, p->pos, length, NULL, "unexpected \"%.*s\" in the %s",
					 quoted(length), p->text + p->pos, p->rule->name);
}

/*
 * A character that has no business in a schedule.  It may be any byte: name
 * it, do not quote it.
 */
bool
cron_fail_character(CronParser *p, int pos)
{
	const unsigned char *c = (const unsigned char *) p->text + pos;
	static const char allowed[] =
		"Schedules are written with ASCII letters, digits, * ? , - / # @ and "
		"blanks.";
	int			length = 1;

	while (c[0] >= 0xc0 && length < 4 && (c[length] & 0xc0) == 0x80)
		length++;
	if (length > 1)
		return cron_fail(p, pos, length, allowed,
						 "schedule contains a character that is not ASCII");
	return cron_fail(p, pos, 1, allowed,
					 "schedule contains the byte 0x%02x, which is not allowed", *c);
}

/*
 * Read digits.  A number too large for any use stays above the longest
 * interval
 */
int64_t
cron_read_digits(CronParser *p)
{
	int64_t		number = 0;

	for (; p->pos < p->end && is_digit(p->text[p->pos]); p->pos++)
		if (number <= CRON_INTERVAL_MAX)
			number = number * 10 + (p->text[p->pos] - '0');
	return number <= CRON_INTERVAL_MAX ? number : CRON_INTERVAL_MAX + 1;
}
