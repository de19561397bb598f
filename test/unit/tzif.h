/*
 * tzif.h
 *		Time zones for the tests, from the system's tz database (RFC 8536
 *		files) or made up, as CronZone.
 */
#ifndef TZIF_H
#define TZIF_H

#include "pure/cron/cron.h"

typedef struct TzRule
{
	int			kind;			/* 'M', 'J' or '0' */
	int			month;
	int			week;
	int			day;
	int			time;			/* seconds, may be negative or over a day */
} TzRule;

/* What holds after the last transition: a POSIX TZ string */
typedef struct TzFooter
{
	bool		present;
	bool		has_dst;
	int			std_offset;		/* seconds east */
	int			dst_offset;
	TzRule		start;
	TzRule		end;
} TzFooter;

typedef struct TzFile
{
	CronZone	zone;			/* pass &file->zone */
	int			n;				/* transitions */
	int64_t    *at;
	int32_t    *offset;			/* from at[i] on */
	int32_t		first_offset;	/* before at[0] */
	TzFooter	footer;
} TzFile;

/* NULL: there is no such zone.  Free with tz_free() */
extern TzFile *tz_load(const char *name);

/* A made-up zone; the arrays are copied */
extern TzFile *tz_make(int32_t first_offset, int n, const int64_t *at,
					   const int32_t *offset);
extern void tz_free(TzFile *tz);

#endif							/* TZIF_H */
