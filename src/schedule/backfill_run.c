/*
 * backfill_run.c
 *		The scheduler's part of backfills: their runs are enqueued, some at a time.
 *
 * Neither the schedule's row is locked nor its next tick changed, and runs of a
 * backfill are no runs to the rule for overlap (schedule/runs.c): the schedule
 * fires as if there were no backfill.  In a turn each role may have so many runs;
 * the rest is for the next turn, after the scheduler's other tasks.  A run, the
 * removal of its time from the part and the count are one transaction: after a
 * crash it goes on where it was.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "config/rate_text.h"
#include "schedule/backfill.h"

/* Backfills in a turn; runs of a role in a turn */
#define TURN_BACKFILLS	1000
#define TURN_RUNS		100

/* With a rate, runs are enqueued so long before they are due (microseconds) */
#define RATE_AHEAD		USECS_PER_SEC

/* One is locked, or max_queued is reached: look again */
#define LOCKED_DELAY	USECS_PER_SEC
#define FULL_DELAY		(5 * USECS_PER_SEC)

bool		backfill_expected = true;

/* A backfill, and what came of its turn */
typedef struct Turn
{
	int64		id;
	Oid			owner;
	int			enqueued;
	TimestampTz next;			/* DT_NOEND, or when its rate lets more be
								 * enqueued */
	bool		more;			/* it could go on at once */
	bool		locked;
} Turn;

/* The row of a backfill */
typedef struct BackfillRow
{
	Schedule	schedule;
	BackfillOverlap overlap;
	Rate		rate;			/* times are those of the wall clock, in rows */
	TimestampTz used;
} BackfillRow;

/* The part that is next */
typedef struct Part
{
	int32		part;
	int			n;
	TimestampTz *times;
} Part;

/* Read the backfills, those of each role side by side; returns how many */
static int
list_backfills(Turn *turns)
{
	OwnSql		own;
	int			n;

	own_transaction_begin();
	own_sql_begin(&own);
	SPI_connect();
	n = (int) own_sql_execute("SELECT b.id, b.owner FROM defer.backfill b ORDER BY b.owner, b.id LIMIT "
							  CppAsString2(TURN_BACKFILLS), SPI_OK_SELECT);
	for (int i = 0; i < n; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		bool		isnull;

		memset(&turns[i], 0, sizeof(Turn));
		turns[i].id = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));
		turns[i].owner = DatumGetObjectId(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
	}
	SPI_finish();
	own_sql_end(&own);
	own_transaction_end();
	return n;
}

/* Read the first part that is left; false: there is none */
static bool
read_part(int64 id, Part *part)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(id)};
	Datum	   *elements;
	OwnSql		own;
	bool		isnull;
	bool		found;

	own_sql_begin(&own);
	SPI_connect();
	found = own_sql_run("SELECT p.part, p.ticks FROM defer.backfill_part p"
						" WHERE p.backfill_id OPERATOR(pg_catalog.=) $1 ORDER BY p.part LIMIT 1",
						lengthof(types), types, values, NULL, SPI_OK_SELECT) == 1;
	if (found)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		part->part = DatumGetInt32(SPI_getbinval(row, desc, 1, &isnull));
		deconstruct_array(DatumGetArrayTypeP(SPI_getbinval(row, desc, 2, &isnull)), TIMESTAMPTZOID,
						  8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements, NULL, &part->n);
		part->times = MemoryContextAlloc(context, sizeof(TimestampTz) * Max(part->n, 1));
		for (int i = 0; i < part->n; i++)
			part->times[i] = DatumGetTimestampTz(elements[i]);
	}
	SPI_finish();
	own_sql_end(&own);
	return found;
}

/*
 * Take the first n times out of a part, and count n runs, and what they have used of the
 * rate; n < 0: delete the backfill
 */
static void
write_progress(int64 id, const Part *part, int n, TimestampTz used)
{
	Oid			types[] = {INT8OID, INT4OID, INT4OID};
	Datum		values[] = {
		Int64GetDatum(id), Int32GetDatum(n < 0 ? 0 : part->part), Int32GetDatum(n)
	};
	Oid			count_types[] = {INT8OID, INT4OID, TIMESTAMPTZOID};
	Datum		count_values[] = {Int64GetDatum(id), Int32GetDatum(n), TimestampTzGetDatum(used)};
	const char *count_nulls = used == 0 ? "  n" : NULL;
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	if (n < 0)
		(void) own_sql_run("DELETE FROM defer.backfill b WHERE b.id OPERATOR(pg_catalog.=) $1",
						   1, types, values, NULL, SPI_OK_DELETE);
	else
	{
		if (n == part->n)
			(void) own_sql_run("DELETE FROM defer.backfill_part p WHERE p.backfill_id OPERATOR(pg_catalog.=) $1"
							   " AND p.part OPERATOR(pg_catalog.=) $2", 2, types, values, NULL, SPI_OK_DELETE);
		else
			(void) own_sql_run("UPDATE defer.backfill_part p"
							   " SET ticks = p.ticks[$3 OPERATOR(pg_catalog.+) 1 :]"
							   " WHERE p.backfill_id OPERATOR(pg_catalog.=) $1"
							   " AND p.part OPERATOR(pg_catalog.=) $2",
							   lengthof(types), types, values, NULL, SPI_OK_UPDATE);
		(void) own_sql_run("UPDATE defer.backfill b SET enqueued = b.enqueued OPERATOR(pg_catalog.+) $2, rate_used = $3"
						   " WHERE b.id OPERATOR(pg_catalog.=) $1",
						   lengthof(count_types), count_types, count_values, count_nulls,
						   SPI_OK_UPDATE);
	}
	SPI_finish();
	own_sql_end(&own);
}

/* Read the backfill, locked, and its schedule; false: it is locked, or gone */
static bool
lock_backfill(int64 id, BackfillRow *backfill, bool *locked)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(id)};
	Schedule   *rows;
	OwnSql		own;
	bool		isnull;
	bool		found;
	bool		no_priority = true;
	int32		priority = 0;
	int64		schedule_id = 0;

	own_sql_begin(&own);
	SPI_connect();
	found = own_sql_run("SELECT b.schedule_id, b.overlap, b.priority, b.rate, b.rate_used FROM defer.backfill b"
						" WHERE b.id OPERATOR(pg_catalog.=) $1 FOR UPDATE SKIP LOCKED",
						lengthof(types), types, values, NULL, SPI_OK_SELECT) == 1;
	if (found)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		schedule_id = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
		backfill->overlap = strcmp(SPI_getvalue(row, desc, 2), "allow") == 0 ? BACKFILL_ALLOW :
			BACKFILL_QUEUE;
		priority = DatumGetInt32(SPI_getbinval(row, desc, 3, &no_priority));
		backfill->rate = rate_of_values(SPI_getvalue(row, desc, 4), 1);
		backfill->used = DatumGetTimestampTz(SPI_getbinval(row, desc, 5, &isnull));
		if (isnull)
			backfill->used = 0;
	}
	SPI_finish();
	own_sql_end(&own);
	*locked = !found;
	if (!found)
		return false;
	values[0] = Int64GetDatum(schedule_id);
	if (schedule_query("SELECT " SCHEDULE_COLUMNS " FROM defer.schedule s"
					   " WHERE s.id OPERATOR(pg_catalog.=) $1",
					   lengthof(types), types, values, NULL, &rows) == 0)
	{
		write_progress(id, NULL, -1, 0);
		return false;
	}
	backfill->schedule = rows[0];
	if (!no_priority)
	{
		backfill->schedule.has_priority = true;
		backfill->schedule.priority = priority;
	}
	return true;
}

/*
 * How many runs the rate of a backfill lets become due in the next moment, of those that
 * there is room for; sets *next to when there will be more
 */
static int
rate_allows(BackfillRow *backfill, TimestampTz now, int room, TimestampTz *next)
{
	const Rate *rate = &backfill->rate;
	TimestampTz opening;

	if (rate->interval == 0 || room <= 0)
		return room;

	/* further off than it ever is: the clock was set back */
	backfill->used = Min(backfill->used, rate_all_used(rate, now + RATE_AHEAD));
	opening = rate_next(rate, backfill->used, now) - RATE_AHEAD;
	if (opening > now)
		*next = opening;
	return Min(room, rate_room(rate, backfill->used, now, now + RATE_AHEAD));
}

/* Enqueue the first n runs of a part, or fewer if max_queued is reached; returns how many */
static int
enqueue_runs(int64 id, BackfillRow *backfill, const Part *part, int n, TimestampTz now)
{
	const Rate *rate = &backfill->rate;

	for (int i = 0; i < n; i++)
	{
		TimestampTz run_at = rate->interval != 0 ? rate_next(rate, backfill->used, now) : now;

		CHECK_FOR_INTERRUPTS();
		if (!schedule_start_past(&backfill->schedule, part->times[i], run_at, backfill_option(id)))
			return i;
		if (rate->interval != 0)
			backfill->used = rate_take(rate, backfill->used, run_at);
	}
	return n;
}

/* Enqueue up to "most" runs of a backfill, in one transaction */
static void
take_turn(Turn *turn, int most)
{
	const TimestampTz now = GetCurrentTimestamp();
	BackfillRow backfill = {0};
	Part		part;

	turn->next = DT_NOEND;
	own_transaction_begin();
	if (lock_backfill(turn->id, &backfill, &turn->locked))
	{
		if (!read_part(turn->id, &part))
			write_progress(turn->id, NULL, -1, 0);
		else
		{
			int			room = Min(backfill_room(backfill.schedule.id, backfill.overlap), most);
			int			n = Min(rate_allows(&backfill, now, room, &turn->next), part.n);

			if (n > 0)
				turn->enqueued = enqueue_runs(turn->id, &backfill, &part, n, now);
			if (turn->enqueued > 0)
				write_progress(turn->id, &part, turn->enqueued, backfill.used);
			turn->more = n > 0 && turn->enqueued == n;
			if (turn->enqueued < n)
				turn->next = Min(turn->next, now + FULL_DELAY);
		}
	}

	if (!schedule_end_unless_copy(true))
	{
		turn->enqueued = 0;
		turn->more = turn->locked = false;
	}
}

TimestampTz
backfill_continue(TimestampTz now)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext scratch;
	Turn	   *turns;
	TimestampTz again = DT_NOEND;
	int			left = TURN_RUNS;
	int			n;

	if (!backfill_expected)
		return DT_NOEND;
	scratch = AllocSetContextCreate(context, "defer backfills", ALLOCSET_DEFAULT_SIZES);
	turns = palloc(sizeof(Turn) * TURN_BACKFILLS);
	n = list_backfills(turns);
	backfill_expected = n > 0;
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i > 0 && turns[i].owner != turns[i - 1].owner)
			left = TURN_RUNS;
		if (left == 0)
			continue;			/* the rest of this role in the next turn */
		MemoryContextSwitchTo(scratch);
		take_turn(&turns[i], left);
		MemoryContextSwitchTo(context);
		MemoryContextReset(scratch);
		left -= turns[i].enqueued;
		if (turns[i].more)
			again = now;
		again = Min(again, turns[i].next);
		if (turns[i].locked)
			again = Min(again, now + LOCKED_DELAY);
	}
	MemoryContextDelete(scratch);
	return again;
}
