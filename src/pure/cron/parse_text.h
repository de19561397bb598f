/*
 * parse_text.h
 *		What the files of the parser share: the text being read, and its errors.
 *
 *		parse.c			words, fields, names: cron_parse()
 *		parse_field.c	one field
 *		parse_every.c	every <interval>
 *		parser.c		characters and errors
 */
#ifndef CRON_PARSER_H
#define CRON_PARSER_H

#include "pure/cron/cron.h"

typedef enum CronField
{
	FIELD_SECOND,
	FIELD_MINUTE,
	FIELD_HOUR,
	FIELD_DAY,
	FIELD_MONTH,
	FIELD_WEEKDAY
} CronField;

#define N_FIELDS	6

typedef struct CronFieldRule
{
	const char *name;
	int			min;
	int			max;
	int			values;			/* how many different ones */
	const char *names;			/* three letters each, from value "min" on */
	const char *allowed;		/* the hint */
} CronFieldRule;

/* The text that is being read: one word of it */
typedef struct CronParser
{
	const char *text;
	int			pos;			/* of the next character */
	int			end;			/* of the word */
	CronError  *err;			/* may be NULL */
	const CronFieldRule *rule;	/* of the field, NULL outside of one */
	CronField	kind;
	uint64_t	values;			/* of the field, as bits */
	CronSchedule *out;
} CronParser;

/* For "%.*s": as much of a piece as messages quote */
static inline int
quoted(int length)
{
	return length < 40 ? length : 40;
}

static inline bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ASCII only, whatever the locale */
static inline char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

static inline bool
is_letter(char c)
{
	return lower(c) >= 'a' && lower(c) <= 'z';
}

/* The next character of the word, in lower case; NUL at its end */
static inline char
peek(const CronParser *p)
{
	return p->pos < p->end ? lower(p->text[p->pos]) : '\0';
}

static inline bool
accept(CronParser *p, char c)
{
	if (peek(p) != c)
		return false;
	p->pos++;
	return true;
}

/* Record an error; NULL: the hint of the field.  Returns false, for the caller to return */
extern bool cron_fail(CronParser *p, int pos, int length, const char *hint, const char *format,...)
			__attribute__((format(printf, 5, 6)));

/* Replace the hint of an error.  Returns false, too */
extern bool cron_hint(CronParser *p, const char *format,...) __attribute__((format(printf, 2, 3)));

/* Record that what stands at p->pos cannot stand there.  Returns false */
extern bool cron_fail_unexpected(CronParser *p);

/* Record a character that no schedule contains.  Returns false */
extern bool cron_fail_character(CronParser *p, int pos);

/* Find the end of the run of letters, or of digits, or of the one character at pos */
extern int	cron_token_end(const CronParser *p, int pos);

/* Compare a word with a name in lower case */
extern bool cron_word_is(const char *text, int length, const char *name);

/* Read digits; a number larger than CRON_INTERVAL_MAX becomes one more than that */
extern int64_t cron_read_digits(CronParser *p);

/* Read one field, from start to end, into p->values */
extern bool cron_parse_field(CronParser *p, CronField kind, int start, int end);

/* Read the interval after "every", which ends at pos, into p->out */
extern bool cron_parse_every(CronParser *p, int pos);

#endif
