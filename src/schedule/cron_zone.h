/*
 * cron_zone.h
 *		The server's time zones for the cron engine.
 */
#ifndef CRON_ZONE_H
#define CRON_ZONE_H

#include "postgres.h"

#include "pgtime.h"

#include "pure/cron/cron.h"

/* Spans that are remembered: around now, before and after the next change */
#define CRON_ZONE_SPANS 4

/* An interval of constant offset; from == until: unused */
typedef struct CronZoneSpan
{
	int64		from;
	int64		until;
	int32		offset;
} CronZoneSpan;

/*
 * A zone and its cached data.  Keep one for each zone as long as you like; it
 * must not move while the CronZone in it is used.  pg_tz objects live as long
 * as the process.
 */
typedef struct CronZoneCache
{
	CronZone	zone;
	pg_tz	   *tz;
	int			next;			/* which span to replace */
	CronZoneSpan spans[CRON_ZONE_SPANS];
} CronZoneCache;

/*
 * Prepare a cache for a zone (NULL: UTC).  Returns what to pass to cron_next()
 * and cron_previous(): it points into the cache, or is NULL for UTC.
 */
extern const CronZone *cron_zone_open(CronZoneCache *cache, pg_tz *tz);

#endif							/* CRON_ZONE_H */
