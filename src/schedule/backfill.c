/*
 * backfill.c
 *		Runs for times that are past: defer.backfill(), defer.cancel_backfill().
 *
 * The call finds the times, by the schedule as it is now, and stores those that
 * have no run, in parts.  So their number is exact, and a schedule that is
 * changed afterwards does not change them.  The scheduler enqueues the runs
 * (schedule/backfill_run.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/roles.h"
#include "config/rate_text.h"
#include "schedule/backfill.h"
#include "shmem/preload.h"
#include "table/schedule_result.h"

/* Times of one backfill; of a part; backfills of a role in progress */
#define TIMES_MAX		100000
#define PART_TIMES		100
#define ROLE_MAX		10

/* Of the advisory locks that keep two calls for one schedule apart; objsubid in pg_locks */
#define BACKFILL_LOCK_CLASS 3568

PG_FUNCTION_INFO_V1(defer_backfill);
PG_FUNCTION_INFO_V1(defer_backfill_by_id);
PG_FUNCTION_INFO_V1(defer_cancel_backfill);

/* Arguments of both, after the schedule */
enum
{
	ARG_SINCE = 1, ARG_UNTIL, ARG_OVERLAP, ARG_RATE, ARG_PRIORITY, ARG_DRY_RUN
};

/* ------------------------------------------------------------------------
 * Times
 * ------------------------------------------------------------------------ */

/*
 * Read the times from since to until that have a run, or are to have one by
 * another backfill, in their order.  A tick that was skipped or missed has none.
 */
static TimestampTz *
read_taken(int64 schedule_id, TimestampTz since, TimestampTz until, uint64 *n)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[] = {INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[] = {Int64GetDatum(schedule_id), TimestampTzGetDatum(since),
		TimestampTzGetDatum(until)};
	TimestampTz *taken;
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	*n = own_sql_run("SELECT u.at FROM (SELECT j.scheduled_for AS at FROM defer.job j"
					 " WHERE j.schedule_id OPERATOR(pg_catalog.=) $1"
					 " UNION SELECT h.scheduled_for FROM defer.job_history h"
					 " WHERE h.schedule_id OPERATOR(pg_catalog.=) $1 AND h.state OPERATOR(pg_catalog.<>) 'd'"
					 " UNION SELECT pg_catalog.unnest(p.ticks) FROM defer.backfill_part p, defer.backfill b"
					 " WHERE b.schedule_id OPERATOR(pg_catalog.=) $1 AND p.backfill_id OPERATOR(pg_catalog.=) b.id) u"
					 " WHERE u.at OPERATOR(pg_catalog.>=) $2 AND u.at OPERATOR(pg_catalog.<) $3 ORDER BY u.at",
					 lengthof(types), types, values, NULL, SPI_OK_SELECT);
	taken = MemoryContextAllocHuge(context, mul_size(Max(*n, 1), sizeof(TimestampTz)));
	for (uint64 i = 0; i < *n; i++)
	{
		bool		isnull;

		taken[i] = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[i],
													 SPI_tuptable->tupdesc, 1, &isnull));
	}
	SPI_finish();
	own_sql_end(&own);
	return taken;
}

/* Find the nominal times of a schedule that are to have a run; returns how many */
static int
find_times(const Schedule *s, TimestampTz since, TimestampTz until, TimestampTz *times)
{
	ScheduleClock clock;
	char	   *error;
	TimestampTz *taken;
	TimestampTz tick = since - 1;
	uint64		ntaken;
	uint64		next = 0;
	int			n = 0;

	if (!schedule_clock_open(&clock, s, &error))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schedule \"%s\" cannot be used: %s", s->name, error)));
	taken = read_taken(s->id, since, until, &ntaken);
	while (schedule_next(&clock, tick, &tick) && tick < until)
	{
		CHECK_FOR_INTERRUPTS();
		while (next < ntaken && taken[next] < tick)
			next++;
		if (next < ntaken && taken[next] == tick)
			continue;
		if (n == TIMES_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("schedule \"%s\" has more than %d times without a run there", s->name,
							TIMES_MAX),
					 errhint("Choose a shorter span, and the next one when its runs have been enqueued.")));
		times[n++] = tick;
	}
	pfree(taken);
	return n;
}

/* ------------------------------------------------------------------------
 * Storing them
 * ------------------------------------------------------------------------ */

static void
check_room(Oid owner)
{
	Oid			types[] = {REGROLEOID};
	Datum		values[] = {ObjectIdGetDatum(owner)};
	OwnSql		own;
	uint64		n;

	own_sql_begin(&own);
	SPI_connect();
	n = own_sql_run("SELECT FROM defer.backfill b WHERE b.owner OPERATOR(pg_catalog.=) $1",
					lengthof(types), types, values, NULL, SPI_OK_SELECT);
	SPI_finish();
	own_sql_end(&own);
	if (n >= ROLE_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("role \"%s\" has %d backfills in progress", GetUserNameFromId(owner, false), ROLE_MAX),
				 errhint("Wait for one of them, or end one with defer.cancel_backfill(): see defer.backfills.")));
}

static void
insert_part(int64 backfill_id, int part, const TimestampTz *times, int n)
{
	Oid			types[] = {INT8OID, INT4OID, TIMESTAMPTZARRAYOID};
	Datum		values[3];
	Datum		elements[PART_TIMES];

	for (int i = 0; i < n; i++)
		elements[i] = TimestampTzGetDatum(times[i]);
	values[0] = Int64GetDatum(backfill_id);
	values[1] = Int32GetDatum(part);
	values[2] = PointerGetDatum(construct_array(elements, n, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE));
	(void) own_sql_run("INSERT INTO defer.backfill_part (backfill_id, part, ticks) VALUES ($1, $2, $3)",
					   lengthof(types), types, values, NULL, SPI_OK_INSERT);
}

/* Store a backfill: *b has all but the times */
typedef struct Backfill
{
	TimestampTz since;
	TimestampTz until;
	const char *overlap;
	text	   *rate;			/* NULL: none */
	bool		has_priority;
	int32		priority;
} Backfill;

static void
store(const Schedule *s, const Backfill *b, const TimestampTz *times, int n)
{
	Oid			types[] = {INT8OID, REGROLEOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, INT4OID,
		INT8OID, TEXTOID, TEXTOID};
	Datum		values[] = {
		Int64GetDatum(s->id), ObjectIdGetDatum(s->owner), TimestampTzGetDatum(b->since),
		TimestampTzGetDatum(b->until), CStringGetTextDatum(b->overlap), Int32GetDatum(b->priority),
		Int64GetDatum(n), CStringGetTextDatum(GetUserNameFromId(GetUserId(), false)),
		PointerGetDatum(b->rate)
	};
	char		nulls[] = {' ', ' ', ' ', ' ', ' ', b->has_priority ? ' ' : 'n', ' ', ' ',
		b->rate != NULL ? ' ' : 'n'};
	OwnSql		own;
	bool		isnull;
	int64		id;

	own_sql_begin(&own);
	SPI_connect();
	(void) own_sql_run("INSERT INTO defer.backfill (schedule_id, owner, since, until, overlap, priority, runs, created_by, rate)"
					   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id",
					   lengthof(types), types, values, nulls, SPI_OK_INSERT_RETURNING);
	id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	for (int i = 0; i < n; i += PART_TIMES)
		insert_part(id, i / PART_TIMES + 1, times + i, Min(PART_TIMES, n - i));
	SPI_finish();
	own_sql_end(&own);
	schedule_result_notify();
}

/* ------------------------------------------------------------------------
 * The functions
 * ------------------------------------------------------------------------ */

static void
read_backfill(FunctionCallInfo fcinfo, Backfill *b)
{
	memset(b, 0, sizeof(Backfill));
	require_argument(fcinfo, ARG_SINCE, "since");
	require_argument(fcinfo, ARG_UNTIL, "until");
	b->since = PG_GETARG_TIMESTAMPTZ(ARG_SINCE);
	b->until = PG_GETARG_TIMESTAMPTZ(ARG_UNTIL);
	if (TIMESTAMP_NOT_FINITE(b->since) || TIMESTAMP_NOT_FINITE(b->until))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be finite", TIMESTAMP_NOT_FINITE(b->since) ? "since" : "until")));
	if (b->since >= b->until)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be before \"%s\"", "since", "until")));
	if (b->until > GetCurrentTimestamp())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be in the future", "until"),
				 errhint("The schedule itself has runs for times to come.")));
	b->overlap = PG_ARGISNULL(ARG_OVERLAP) ? "queue" : text_to_cstring(PG_GETARG_TEXT_PP(ARG_OVERLAP));
	if (strcmp(b->overlap, "queue") != 0 && strcmp(b->overlap, "allow") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\": \"%s\"", "overlap", schedule_shown(b->overlap)),
				 errhint("Valid values are \"queue\" and \"allow\".")));
	if (!PG_ARGISNULL(ARG_RATE) &&
		rate_interval_of_text("rate", text_to_cstring(PG_GETARG_TEXT_PP(ARG_RATE))) != 0)
		b->rate = PG_GETARG_TEXT_PP(ARG_RATE);
	b->has_priority = !PG_ARGISNULL(ARG_PRIORITY);
	if (b->has_priority)
		b->priority = args_int32(fcinfo, ARG_PRIORITY, "priority");
}

/* Backfill a schedule that the caller may manage */
static Datum
backfill_schedule(FunctionCallInfo fcinfo, const Schedule *s)
{
	bool		dry_run = !PG_ARGISNULL(ARG_DRY_RUN) && PG_GETARG_BOOL(ARG_DRY_RUN);
	TimestampTz *times = palloc(sizeof(TimestampTz) * TIMES_MAX);
	Backfill	b;
	LOCKTAG		tag;
	int			n;

	if (!dry_run)
		PreventCommandIfReadOnly("defer.backfill()");
	read_backfill(fcinfo, &b);
	if (!dry_run)
	{
		/*
		 * until this transaction ends; a tick of the schedule needs no such
		 * lock
		 */
		SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (s->id >> 32), (uint32) s->id,
							 BACKFILL_LOCK_CLASS);
		(void) LockAcquire(&tag, ExclusiveLock, false, false);
		check_room(s->owner);
		warn_if_not_preloaded();
	}
	n = find_times(s, b.since, b.until, times);
	if (n > 0 && !dry_run)
		store(s, &b, times, n);
	PG_RETURN_INT64(n);
}

/* defer.backfill(name, since, until, overlap, rate, priority, dry_run) */
Datum
defer_backfill(PG_FUNCTION_ARGS)
{
	Schedule	s;

	schedule_find_by_name(args_required_text(fcinfo, 0, "name"), false, &s);
	return backfill_schedule(fcinfo, &s);
}

/* defer.backfill(id, ...), else the same */
Datum
defer_backfill_by_id(PG_FUNCTION_ARGS)
{
	Schedule	s;

	require_argument(fcinfo, 0, "id");
	schedule_find_by_id(PG_GETARG_INT64(0), false, &s);
	return backfill_schedule(fcinfo, &s);
}

/* defer.cancel_backfill(id) */
Datum
defer_cancel_backfill(PG_FUNCTION_ARGS)
{
	Oid			types[] = {INT8OID};
	Datum		values[1];
	OwnSql		own;
	uint64		n;

	PreventCommandIfReadOnly("defer.cancel_backfill()");
	require_argument(fcinfo, 0, "id");
	values[0] = PG_GETARG_DATUM(0);
	own_sql_begin(&own);
	SPI_connect();
	n = own_sql_run("SELECT b.owner FROM defer.backfill b WHERE b.id OPERATOR(pg_catalog.=) $1",
					lengthof(types), types, values, NULL, SPI_OK_SELECT);
	own_sql_end(&own);
	if (n > 0)
	{
		bool		isnull;

		if (!role_may_manage(DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0],
															SPI_tuptable->tupdesc, 1, &isnull))))
			n = 0;
	}
	own_sql_begin(&own);
	if (n > 0)
		n = own_sql_run("DELETE FROM defer.backfill b WHERE b.id OPERATOR(pg_catalog.=) $1",
						lengthof(types), types, values, NULL, SPI_OK_DELETE);
	SPI_finish();
	own_sql_end(&own);
	PG_RETURN_BOOL(n > 0);
}
