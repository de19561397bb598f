/*
 * endpoint_pause.c
 *		Pauses of endpoints, which their servers ask for: 429 with Retry-After.
 *
 * The pause is in the endpoint's row.  The sender reads that for each delivery, and puts
 * off one that is to wait, without an attempt, to the end of the pause.  A change of the
 * endpoint ends it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/own_sql.h"
#include "delivery/endpoint.h"

/* Longest pause: the clock may have been set back since (microseconds) */
#define PAUSE_MAX	USECS_PER_HOUR

/* Many deliveries are told so at a time: the row is written for so much more (microseconds) */
#define PAUSE_STEP	(USECS_PER_SEC / 2)

void
endpoint_pause(const Endpoint *endpoint, int64 time)
{
	const TimestampTz until = GetCurrentTimestamp() + Min(time, PAUSE_MAX);
	Oid			types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[] = {CStringGetTextDatum(endpoint->name), TimestampTzGetDatum(until),
		TimestampTzGetDatum(until - PAUSE_STEP)};
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();

	/*
	 * a session that changes the endpoint ends the pause anyway: it is not
	 * waited for
	 */
	(void) own_sql_run("UPDATE defer.endpoint e SET paused_until = $2"
					   " FROM (SELECT l.name FROM defer.endpoint l WHERE l.name OPERATOR(pg_catalog.=) $1"
					   " AND (l.paused_until IS NULL OR l.paused_until OPERATOR(pg_catalog.<) $3)"
					   " FOR UPDATE SKIP LOCKED) f WHERE e.name OPERATOR(pg_catalog.=) f.name",
					   lengthof(types), types, values, NULL, SPI_OK_UPDATE);
	SPI_finish();
	own_sql_end(&own);
}

int64
endpoint_paused(const Endpoint *endpoint)
{
	int64		left = endpoint->paused_until - GetCurrentTimestamp();

	return endpoint->paused_until == 0 || left <= 0 || left > PAUSE_MAX ? 0 : left;
}
