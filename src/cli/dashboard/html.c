/*
 * html.c
 *		HTML of escaped text, and of numbers and times for people.
 *
 * All values of the database and of browsers pass html_text() (html_add() calls
 * it for each %s).  core/text.c first makes control characters visible, and those
 * that change the direction of text: a name that looks like another is a trap.
 */
#include "dashboard/html.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/format.h"
#include "core/text.h"

/* Append a value, without what is markup */
static void
escape_markup(Buffer *out, const char *value)
{
	for (const char *c = value; *c != '\0'; c++)
	{
		switch (*c)
		{
			case '&':
				buffer_add(out, "&amp;");
				break;
			case '<':
				buffer_add(out, "&lt;");
				break;
			case '>':
				buffer_add(out, "&gt;");
				break;
			case '"':
				buffer_add(out, "&quot;");
				break;
			case '\'':
				buffer_add(out, "&#39;");
				break;
			default:
				buffer_char(out, *c);
		}
	}
}

static void
escape(Buffer *out, const char *value, TextMode mode)
{
	Buffer		text = {0};

	if (value == NULL || value[0] == '\0')
		return;
	text_escape(&text, value, mode);
	escape_markup(out, text.data);
	buffer_free(&text);
}

/* Append the value of a field, which comes back as it is: also control characters */
void
html_field(Buffer *out, const char *value)
{
	escape_markup(out, value);
}

/* Append a value, for text and for quoted attributes; NULL is "" */
void
html_text(Buffer *out, const char *value)
{
	escape(out, value, TEXT_LINE);
}

/* Append a value with its line feeds, for <pre> */
void
html_block(Buffer *out, const char *value)
{
	escape(out, value, TEXT_BLOCK);
}

/*
 * Append markup in which each %s is escaped.  Numbers (%d, %lld, %.1f, ...) are
 * as in printf.  %% is a percent sign.
 */
void
html_add(Buffer *out, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	while (*format != '\0')
	{
		size_t		plain = strcspn(format, "%");
		size_t		spec;
		char		one[32];

		buffer_add_len(out, format, plain);
		format += plain;
		if (*format == '\0')
			break;
		spec = 1 + strcspn(format + 1, "sdufgxc%") + 1;
		if (format[1] == '%')
			buffer_char(out, '%');
		else if (strncmp(format, "%s", 2) == 0)
			html_text(out, va_arg(args, const char *));
		else if (spec < sizeof(one))
		{
			memcpy(one, format, spec);
			one[spec] = '\0';
			/* the compiler checks the format of html_add() itself */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
			if (strchr("fg", one[spec - 1]) != NULL)
				buffer_printf(out, one, va_arg(args, double));
			else if (strstr(one, "ll") != NULL)
				buffer_printf(out, one, va_arg(args, long long));
			else
				buffer_printf(out, one, va_arg(args, int));
#pragma GCC diagnostic pop
		}
		format += spec;
	}
	va_end(args);
}

/* Append a value as a part of an address: percent-encoded */
void
html_url(Buffer *out, const char *value)
{
	for (; value != NULL && *value != '\0'; value++)
	{
		unsigned char c = *value;

		if (isalnum(c) || strchr("-_.~", c) != NULL)
			buffer_char(out, (char) c);
		else
			buffer_printf(out, "%%%02X", c);
	}
}

/*
 * Append JSON as the server writes jsonb, broken into lines if it is long.  It
 * is escaped like any text.
 */
void
html_json(Buffer *out, const char *json)
{
	Buffer		pretty = {0};
	int			depth = 0;
	bool		string = false;
	bool		broken = strlen(json) > 60;

	buffer_add(&pretty, "");
	for (const char *c = json; *c != '\0'; c++)
	{
		bool		before = string;

		if (*c == '"')
			string = !string;
		else if (string && *c == '\\' && c[1] != '\0')
		{
			buffer_add_len(&pretty, c, 2);
			c++;
			continue;
		}
		if (before || string || !broken)
			buffer_char(&pretty, *c);
		else if ((*c == '{' || *c == '[') && c[1] != '}' && c[1] != ']')
		{
			buffer_char(&pretty, *c);
			buffer_char(&pretty, '\n');
			buffer_repeat(&pretty, "  ", ++depth < 100 ? depth : 100);
		}
		else if ((*c == '}' || *c == ']') && c > json && c[-1] != '{' && c[-1] != '[')
		{
			buffer_char(&pretty, '\n');
			depth--;
			buffer_repeat(&pretty, "  ", depth < 0 ? 0 : depth < 100 ? depth : 100);
			buffer_char(&pretty, *c);
		}
		else if (*c == ',')
		{
			buffer_add(&pretty, ",\n");
			buffer_repeat(&pretty, "  ", depth < 0 ? 0 : depth < 100 ? depth : 100);
			if (c[1] == ' ')
				c++;
		}
		else
			buffer_char(&pretty, *c);
	}
	html_block(out, pretty.data);
	buffer_free(&pretty);
}

/* ------------------------------------------------------------------------
 * Times
 * ------------------------------------------------------------------------ */

/* Read the number that *text begins with, and the separator after it; false: there is none */
static bool
read_number(const char **text, char separator, int *number)
{
	char	   *end;
	long		value = strtol(*text, &end, 10);

	if (end == *text || (separator != '\0' && *end != separator))
		return false;
	*number = (int) value;
	*text = end + (separator != '\0');
	return true;
}

/* Return a timestamptz (DateStyle ISO) as seconds since 1970; NAN: it has none */
static double
parse_time(const char *timestamp)
{
	struct tm	tm = {0};
	const char *at = timestamp;
	char	   *end;
	double		seconds;
	int			hours = 0;
	int			minutes = 0;
	bool		west;

	if (timestamp == NULL ||
		!read_number(&at, '-', &tm.tm_year) || !read_number(&at, '-', &tm.tm_mon) ||
		!read_number(&at, ' ', &tm.tm_mday) || !read_number(&at, ':', &tm.tm_hour) ||
		!read_number(&at, ':', &tm.tm_min))
		return NAN;
	seconds = strtod(at, &end);
	if (end == at)
		return NAN;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	at = end;
	west = *at == '-';
	if (read_number(&at, '\0', &hours) && *at == ':')
	{
		at++;
		(void) read_number(&at, '\0', &minutes);
	}
	return (double) timegm(&tm) + seconds - hours * 3600.0 - (west ? -60.0 : 60.0) * minutes;
}

/* Append a distance in time: 5 min ago, in 2 h 30 min */
static void
relative(Buffer *out, double seconds)
{
	double		s = fabs(seconds);
	Buffer		length = {0};

	if (s < 1)
	{
		buffer_add(out, "now");
		return;
	}
	if (s < 60)
		buffer_printf(&length, "%.0f s", floor(s));
	else if (s < 3600)
		buffer_printf(&length, "%.0f min", floor(s / 60));
	else if (s < 86400)
		buffer_printf(&length, "%.0f h %.0f min", floor(s / 3600), floor(fmod(s, 3600) / 60));
	else if (s < 86400 * 100.0)
		buffer_printf(&length, "%.0f d %.0f h", floor(s / 86400), floor(fmod(s, 86400) / 3600));
	else
		buffer_printf(&length, "%.0f days", floor(s / 86400));
	if (seconds >= 0)
		html_add(out, "%s ago", length.data);
	else
		html_add(out, "in %s", length.data);
	buffer_free(&length);
}

/* Open <time>, with the exact time as its title; false: there is none to close */
static bool
open_time(Buffer *out, const char *timestamp)
{
	Buffer		iso = {0};

	if (timestamp == NULL || timestamp[0] == '\0')
	{
		buffer_add(out, "<span class=\"none\">\xe2\x80\x93</span>");
		return false;
	}
	if (isnan(parse_time(timestamp)))
	{
		html_text(out, timestamp);	/* infinity */
		return false;
	}
	format_iso(&iso, timestamp);
	html_add(out, "<time datetime=\"%s\" title=\"%s\">", iso.data, timestamp);
	buffer_free(&iso);
	return true;
}

/* Append how long ago a time is, or how soon */
void
html_time(Buffer *out, const char *timestamp, double now)
{
	if (!open_time(out, timestamp))
		return;
	relative(out, now - parse_time(timestamp));
	buffer_add(out, "</time>");
}

/* Append date and time of day to the second, and the distance */
void
html_clock(Buffer *out, const char *timestamp, double now)
{
	Buffer		text = {0};

	if (!open_time(out, timestamp))
		return;
	format_time(&text, timestamp, NULL);
	html_add(out, "%s</time> <span class=\"quiet\">", text.data);
	relative(out, now - parse_time(timestamp));
	buffer_add(out, "</span>");
	buffer_free(&text);
}

/* Append date and time of day to the millisecond, and the distance */
void
html_clock_exact(Buffer *out, const char *timestamp, double now)
{
	Buffer		text = {0};

	if (!open_time(out, timestamp))
		return;
	format_time_exact(&text, timestamp);
	html_add(out, "%s</time> <span class=\"quiet\">", text.data);
	relative(out, now - parse_time(timestamp));
	buffer_add(out, "</span>");
	buffer_free(&text);
}

/* Append a duration */
void
html_seconds(Buffer *out, double seconds)
{
	Buffer		text = {0};

	format_seconds(&text, seconds);
	html_text(out, text.data);
	buffer_free(&text);
}

/* Append a count */
void
html_count(Buffer *out, double count)
{
	format_count(out, count);
}

/* Append a count; an estimate has three digits and a mark */
void
html_count_about(Buffer *out, double count, bool about)
{
	if (about && count >= 1)
	{
		double		unit = count < 1000 ? 1 : pow(10, floor(log10(count)) - 2);

		buffer_add(out, "<span class=\"about\" title=\"estimated from a sample\">\xe2\x89\x88</span>");
		count = round(count / unit) * unit;
	}
	format_count(out, round(count));
}

/* ------------------------------------------------------------------------
 * Names and states
 * ------------------------------------------------------------------------ */

/* Append text in which lines may break after commas, brackets and underscores */
static void
breakable(Buffer *out, const char *text)
{
	while (*text != '\0')
	{
		size_t		len = strcspn(text, ",(_");
		char	   *part;

		len += text[len] != '\0';
		part = xprintf("%.*s", (int) len, text);
		html_text(out, part);
		free(part);
		text += len;
		if (*text != '\0')
			buffer_add(out, "<wbr>");
	}
}

/* Append a signature, with schema and parameters in a quieter tone */
void
html_function(Buffer *out, const char *signature)
{
	const char *open = strchr(signature, '(');
	const char *dot;
	char	   *copy;

	buffer_add(out, "<span class=\"fn\">");
	if (open == NULL || strchr(signature, '"') != NULL)
	{
		breakable(out, signature);
		buffer_add(out, "</span>");
		return;
	}
	dot = memchr(signature, '.', open - signature);
	copy = xstrdup(signature);
	copy[open - signature] = '\0';
	if (dot != NULL)
	{
		copy[dot - signature] = '\0';
		if (strcmp(copy, "public") != 0)
			html_add(out, "<span class=\"quiet\">%s.</span><wbr>", copy);
		breakable(out, copy + (dot + 1 - signature));
	}
	else
		breakable(out, copy);
	buffer_add(out, "<wbr><span class=\"quiet\">");
	breakable(out, open);
	buffer_add(out, "</span></span>");
	free(copy);
}

/* Append a state, an outcome or a severity: its word, with a mark in its colour */
void
html_state(Buffer *out, const char *state)
{
	html_add(out, "<span class=\"state is-%s\">%s</span>", state, state);
}
