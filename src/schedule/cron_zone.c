/*
 * cron_zone.c
 *		The server's time zones for the cron engine.
 *
 * The server tells the next change of offset after an instant, not the one
 * before.  So a span is looked for from some weeks before the instant on; when no
 * change is found in between, the span begins there.  The engine takes spans
 * that are shorter than they could be; it only gets slower when it must look
 * behind their beginning, which it does within MAX_SPREAD (pure/cron/cron.c) of it.
 */
#include "postgres.h"

#include "datatype/timestamp.h"

#include "schedule/cron_zone.h"

/* How far back a span begins at most: twice what the engine looks back */
#define LOOK_BACK	(INT64CONST(32) * SECS_PER_DAY)

/*
 * The end of the span around t, and its offset.  INT64_MAX: no change after t,
 * as far as the zone's rules reach.
 */
static int64
span_end(pg_tz *tz, int64 t, int32 *offset)
{
	pg_time_t	time = t;
	pg_time_t	boundary;
	long int	before;
	long int	after;
	int			before_isdst;
	int			after_isdst;
	struct pg_tm *tm = pg_localtime(&time, tz);

	*offset = tm != NULL ? (int32) tm->tm_gmtoff : 0;
	if (pg_next_dst_boundary(&time, &before, &before_isdst, &boundary, &after,
							 &after_isdst, tz) == 1)
		return boundary;

	/*
	 * At exactly the last change in its table the server sees none after it,
	 * though rules may go on for ever: it does from the second after.
	 */
	time = t + 1;
	if (pg_next_dst_boundary(&time, &before, &before_isdst, &boundary, &after,
							 &after_isdst, tz) == 1)
		return boundary;
	return PG_INT64_MAX;
}

static CronZoneSpan
find_span(pg_tz *tz, int64 t)
{
	CronZoneSpan span;

	span.from = t - LOOK_BACK;
	span.until = span_end(tz, span.from, &span.offset);
	while (span.until <= t)
	{
		span.from = span.until;
		span.until = span_end(tz, span.from, &span.offset);
	}
	return span;
}

static void
lookup(void *arg, int64_t t, int32_t *offset, int64_t *from, int64_t *until)
{
	CronZoneCache *cache = arg;
	CronZoneSpan *span = cache->spans;
	int			i;

	for (i = 0; i < CRON_ZONE_SPANS; i++, span++)
		if (t >= span->from && t < span->until)
			break;
	if (i == CRON_ZONE_SPANS)
	{
		span = &cache->spans[cache->next];
		cache->next = (cache->next + 1) % CRON_ZONE_SPANS;
		*span = find_span(cache->tz, t);
	}
	*offset = span->offset;
	*from = span->from;
	*until = span->until;
}

const CronZone *
cron_zone_open(CronZoneCache *cache, pg_tz *tz)
{
	long int	offset = 0;

	memset(cache, 0, sizeof(*cache));
	cache->zone.arg = cache;
	cache->zone.lookup = lookup;
	cache->tz = tz;
	if (tz != NULL && !pg_get_timezone_offset(tz, &offset))
		return &cache->zone;
	if (offset == 0)
		return NULL;

	/* A fixed offset: one span that holds all time */
	cache->spans[0].from = PG_INT64_MIN;
	cache->spans[0].until = PG_INT64_MAX;
	cache->spans[0].offset = (int32) offset;
	return &cache->zone;
}
