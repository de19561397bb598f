/*
 * results.c
 *		Failed runs in a row: pause_after_failures.
 *
 * The ends of runs are rows of defer.schedule_result (table/schedule_result.c).
 * They are counted as soon as they are committed, and before the schedule fires
 * again, in the order of their ends: so no tick passes between the last failure
 * and the pause.  A run that was cancelled or discarded is not among them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "table/alert_event.h"
#include "schedule/schedule.h"

/* Schedules in one turn; results of one schedule in a turn */
#define TURN_SCHEDULES	100
#define TURN_RESULTS	1000

/* Pause a schedule whose last runs have failed, and tell who wants to hear of it */
static void
pause_failing(Schedule *s, int64 job_id)
{
	schedule_pause(s, NULL, psprintf("%d run%s failed in a row, the last of them was job " INT64_FORMAT,
									 s->failures, s->failures == 1 ? "" : "s", job_id));
	alert_event_record_schedule(s->owner, s->function,
								psprintf("schedule \"%s\" is paused: %s", s->name, s->pause_reason));
}

void
schedule_count_results(Schedule *s)
{
	Oid			types[] = {INT8OID, INT4OID};
	Datum		values[] = {Int64GetDatum(s->id), Int32GetDatum(TURN_RESULTS)};
	int64		last = 0;
	OwnSql		own;
	uint64		n;

	own_sql_begin(&own);
	SPI_connect();
	n = own_sql_run("WITH d AS (DELETE FROM defer.schedule_result r WHERE r.ctid OPERATOR(pg_catalog.=) ANY"
					" (ARRAY(SELECT t.ctid FROM defer.schedule_result t"
					" WHERE t.schedule_id OPERATOR(pg_catalog.=) $1 ORDER BY t.at, t.job_id LIMIT $2))"
					" RETURNING r.failed, r.job_id, r.at)"
					" SELECT d.failed, d.job_id FROM d ORDER BY d.at, d.job_id",
					lengthof(types), types, values, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		if (!DatumGetBool(SPI_getbinval(row, desc, 1, &isnull)))
			s->failures = 0;
		else if (s->failures < PG_INT32_MAX)
			s->failures++;
		last = DatumGetInt64(SPI_getbinval(row, desc, 2, &isnull));
	}
	SPI_finish();
	own_sql_end(&own);
	if (n > 0 && s->active && s->pause_after_failures > 0 &&
		s->failures >= s->pause_after_failures)
		pause_failing(s, last);
}

/* The first schedule after an id that has results; 0: there is none */
static int64
next_schedule(int64 after)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(after)};
	int64		id = 0;
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	if (own_sql_run("SELECT r.schedule_id FROM defer.schedule_result r"
					" WHERE r.schedule_id OPERATOR(pg_catalog.>) $1 ORDER BY r.schedule_id LIMIT 1",
					lengthof(types), types, values, NULL, SPI_OK_SELECT) > 0)
	{
		bool		isnull;

		id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	SPI_finish();
	own_sql_end(&own);
	return id;
}

/* Forget the results of a schedule that is gone; false: it is there, and locked */
static bool
forget_results(int64 schedule_id)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(schedule_id)};

	if (schedule_query("SELECT " SCHEDULE_COLUMNS " FROM defer.schedule s"
					   " WHERE s.id OPERATOR(pg_catalog.=) $1",
					   lengthof(types), types, values, NULL, NULL) > 0)
		return false;
	(void) schedule_query("DELETE FROM defer.schedule_result r"
						  " WHERE r.schedule_id OPERATOR(pg_catalog.=) $1",
						  lengthof(types), types, values, NULL, NULL);
	return true;
}

bool
schedule_count_all_results(void)
{
	Oid			types[] = {INT8OID};
	int64		id = 0;
	bool		all = true;
	int			n = 0;

	while (n++ < TURN_SCHEDULES && (id = next_schedule(id)) != 0)
	{
		Datum		values[] = {Int64GetDatum(id)};
		Schedule   *rows;

		CHECK_FOR_INTERRUPTS();
		if (schedule_query("SELECT " SCHEDULE_COLUMNS " FROM defer.schedule s"
						   " WHERE s.id OPERATOR(pg_catalog.=) $1 FOR UPDATE SKIP LOCKED",
						   lengthof(types), types, values, NULL, &rows) == 0)
			all = forget_results(id) && all;
		else
		{
			schedule_count_results(&rows[0]);
			schedule_write_times(&rows[0]);
		}
		CommandCounterIncrement();
	}
	return all && id == 0;
}
