/*
 * pg_cron_schedule.h
 *		How pg_cron reads a schedule, for import/import_pg_cron.c.  Pure, as the cron
 *		engine is: no server, no allocation, no global state.
 */
#ifndef PG_CRON_SCHEDULE_H
#define PG_CRON_SCHEDULE_H

#include "pure/cron/cron.h"

/* Fields, in their order */
#define PG_CRON_FIELDS	5

/* Room for any text of this module, with the NUL */
#define PG_CRON_TEXT	(CRON_TEXT_MAX + 1)

/* What differs from one pg_cron to the other */
typedef struct PgCronRules
{
	int			minor;			/* of its version: 6 is 1.6 */
	bool		both_days;		/* cron.match_dom_and_dow is on */
} PgCronRules;

/* A piece of the text; nothing if length is 0 */
typedef struct PgCronPiece
{
	int			pos;
	int			length;
} PgCronPiece;

/* A schedule as pg_cron understands it */
typedef struct PgCronSchedule
{
	int			interval;		/* > 0: seconds; the sets are empty */
	bool		reboot;			/* when the server starts; likewise */
	bool		macro;			/* @daily: used[0] is that, the others nothing */
	bool		minutes_star;	/* the field began with * */
	bool		days_star;
	bool		weekdays_star;
	bool		last_day;
	bool		large_step;		/* one that pg_cron refuses from 1.6.5 on */
	uint64_t	minutes;		/* sets as in CronSchedule, perhaps empty */
	uint32_t	hours;
	uint32_t	days;
	uint16_t	months;
	uint8_t		weekdays;
	PgCronPiece used[PG_CRON_FIELDS];	/* what it looks at in each field */
	PgCronPiece ignored;		/* the first piece of a field it does not */
	PgCronPiece reversed;		/* the first range that goes down */
	PgCronPiece rest;			/* after the last field */
} PgCronSchedule;

/* The text without comments and newlines around it, which pg_cron takes */
extern PgCronPiece pg_cron_strip(const char *text);

/* Parse; false: pg_cron cannot read it, and never runs it */
extern bool pg_cron_parse(const char *text, const PgCronRules *rules, PgCronSchedule *out);

/*
 * Check whether the two fire at the same minutes, where clocks are never
 * changed
 */
extern bool pg_cron_same(const PgCronSchedule *theirs, const PgCronRules *rules,
						 const CronSchedule *ours);

/*
 * Write what pg_cron runs as a schedule of ours, with as much of the text as
 * possible; buf has PG_CRON_TEXT bytes.  False: it never runs, or we have no
 * words for it.
 */
extern bool pg_cron_write(const char *text, const PgCronSchedule *theirs,
						  const PgCronRules *rules, char *buf);

/*
 * Write the schedule that the author of a text has presumably meant, which has
 * another meaning to pg_cron or none; buf as above.  False: unknown.
 */
extern bool pg_cron_meant(const char *text, char *buf);

/* Check whether the schedule runs in that minute.  Not for intervals */
extern bool pg_cron_matches(const PgCronSchedule *theirs, const PgCronRules *rules,
							int64_t local);

/* ------------------------------------------------------------------------
 * For pure/pg_cron/read.c and pure/pg_cron/write.c
 * ------------------------------------------------------------------------ */

#define PG_CRON_ALL_DAYS	UINT32_C(0xfffffffe)
#define PG_CRON_ALL_WEEKDAYS 0x7f

typedef enum PgCronFieldKind
{
	FIELD_MINUTE,
	FIELD_HOUR,
	FIELD_DAY,
	FIELD_MONTH,
	FIELD_WEEKDAY
} PgCronFieldKind;

typedef struct PgCronField
{
	int			min;
	int			max;			/* of pg_cron: weekdays have a 7 */
	int			last;			/* ours */
	const char *names;			/* three letters each, from value "min" on */
} PgCronField;

extern const PgCronField pg_cron_fields[PG_CRON_FIELDS];

/* The days of a schedule, so that two with the same days are the same */
typedef struct PgCronDays
{
	uint32_t	days;
	bool		last_day;
	uint8_t		weekdays;
	bool		both;			/* a day must match both, not either */
} PgCronDays;

extern PgCronDays pg_cron_days(const PgCronSchedule *theirs, const PgCronRules *rules);

/* Check whether our schedule uses features that pg_cron has no words for */
extern bool pg_cron_lacks(const CronSchedule *ours);

/* The seconds of a text like " 30 seconds "; 0: it is not that */
extern int	pg_cron_interval(const char *text);

static inline bool
pg_cron_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static inline bool
pg_cron_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

#endif							/* PG_CRON_SCHEDULE_H */
