/*
 * tick.c
 *		Ticks: due jobs are enqueued, and each schedule moves on.
 *
 * Nothing is kept in memory: the index on next_run_at is the queue of ticks,
 * so that a commit that changes a schedule needs no message but "look again".
 * A tick, the move to the next one and the job are one transaction.  That
 * makes a tick fire once: the process that has the row's lock sees a next_tick
 * that no other process has dealt with.
 *
 * A batch of schedules shares a transaction.  Should one of them raise an
 * error, the batch is done again one by one, each in a subtransaction, and the
 * one that fails is put off for a minute.  A known fault of a schedule is no
 * error here: it is written down (schedule_suspend(), or a failed run in the
 * history).
 *
 * The caller says the time.  If it goes backwards, and in the first call of a
 * process, next ticks in the future are computed anew (recheck_all()), so that
 * a clock which was wrong for a while leaves no schedule asleep.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/subtransaction.h"
#include "shmem/scheduled_set.h"
#include "function/direct_call_check.h"
#include "function/function.h"
#include "schedule/schedule.h"
#include "base/catalog.h"
#include "base/citus.h"

/* Schedules in a transaction, and in one turn of the scheduler */
#define BATCH_ROWS		100
#define TURN_ROWS		500

/* A schedule that raised an error is tried again after this */
#define PUT_OFF			(60 * USECS_PER_SEC)

/* A clock set back by less than this does not make ticks fire again */
#define CLOCK_TRUSTED	USECS_PER_DAY

/* The latest "now" that this process has been given */
static TimestampTz latest_now = DT_NOBEGIN;

/* ------------------------------------------------------------------------
 * Batches
 * ------------------------------------------------------------------------ */

/* Let the schedule alone for a while: the reason may be a passing one */
static void
postpone(const Schedule *s, TimestampTz now, const ErrorData *error)
{
	Oid			types[] = {INT8OID, TIMESTAMPTZOID};
	Datum		values[] = {Int64GetDatum(s->id), TimestampTzGetDatum(now + PUT_OFF)};

	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("schedule " INT64_FORMAT " could not fire, will be tried again in a minute: %s",
					s->id, error->message)));
	schedule_query("UPDATE defer.schedule s SET next_run_at = $2"
				   " WHERE s.id OPERATOR(pg_catalog.=) $1",
				   lengthof(types), types, values, NULL, NULL);
}

/* Schedules to process, in a subtransaction */
typedef struct Portion
{
	const Schedule *rows;
	uint64		n;
	TimestampTz now;
	void		(*process) (Schedule *s, TimestampTz now);
	MemoryContext scratch;		/* of each schedule */
} Portion;

static void
process_portion(void *arg)
{
	const Portion *portion = arg;
	MemoryContext context = MemoryContextSwitchTo(portion->scratch);

	for (uint64 i = 0; i < portion->n; i++)
	{
		Schedule	row = portion->rows[i];

		portion->process(&row, portion->now);
		MemoryContextReset(portion->scratch);
	}
	MemoryContextSwitchTo(context);
}

/*
 * Process some schedules in a subtransaction.  NULL: done; otherwise the error
 * that undid it all.
 */
static ErrorData *
process_some(const Schedule *rows, uint64 n, TimestampTz now,
			 void (*process) (Schedule *s, TimestampTz now))
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "defer ticks",
												  ALLOCSET_DEFAULT_SIZES);
	Portion		portion = {rows, n, now, process, scratch};
	ErrorData  *error = subtransaction_try(process_portion, &portion);

	MemoryContextDelete(scratch);
	if (error != NULL && subtransaction_interrupted(error))
		ReThrowError(error);
	return error;
}

static void
process_batch(const Schedule *rows, uint64 n, TimestampTz now,
			  void (*process) (Schedule *s, TimestampTz now))
{
	if (process_some(rows, n, now, process) == NULL)
		return;
	for (uint64 i = 0; i < n; i++)
	{
		ErrorData  *error = process_some(&rows[i], 1, now, process);

		if (error != NULL)
			postpone(&rows[i], now, error);
	}
}

/* Due schedules of all roles in turns: the first of each, the second of each, ... */
typedef struct DueList
{
	int			n;
	int			next;			/* of the ids: not processed yet */
	int64		ids[TURN_ROWS];
} DueList;

/*
 * List the schedules that are due, including schedules without a next time.
 * One role's many schedules do not keep another's from firing: each list has
 * all roles.
 */
static void
list_due(DueList *due, TimestampTz now)
{
	Oid			types[] = {INT8OID, TIMESTAMPTZOID};
	Datum		values[] = {Int64GetDatum(TURN_ROWS), TimestampTzGetDatum(now)};
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	if (SPI_execute_with_args("SELECT d.id FROM (SELECT s.id, s.next_run_at,"
							  " pg_catalog.row_number() OVER (PARTITION BY s.owner ORDER BY s.next_run_at NULLS FIRST) AS turn"
							  " FROM defer.schedule s WHERE s.active AND s.last_error IS NULL"
							  " AND (s.next_run_at IS NULL OR s.next_run_at OPERATOR(pg_catalog.<=) $2)) d"
							  " ORDER BY d.turn, d.next_run_at NULLS FIRST LIMIT $1",
							  lengthof(types), types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the schedules that are due");
	due->n = (int) SPI_processed;
	due->next = 0;
	for (int i = 0; i < due->n; i++)
	{
		bool		isnull;

		due->ids[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
												  1, &isnull));
	}
	SPI_finish();
	own_sql_end(&own);
}

/* Lock and process the next batch of the list; returns how many there were */
static uint64
run_batch(DueList *due, TimestampTz now)
{
	Oid			types[] = {INT8ARRAYOID, TIMESTAMPTZOID};
	Datum		values[] = {0, TimestampTzGetDatum(now)};
	Datum		elements[BATCH_ROWS];
	Schedule   *rows;
	int			n = 0;
	uint64		found;

	while (n < BATCH_ROWS && due->next < due->n)
		elements[n++] = Int64GetDatum(due->ids[due->next++]);
	values[0] = PointerGetDatum(construct_array(elements, n, INT8OID, 8, FLOAT8PASSBYVAL,
												TYPALIGN_DOUBLE));
	found = schedule_query("SELECT " SCHEDULE_COLUMNS " FROM defer.schedule s"
						   " WHERE s.id OPERATOR(pg_catalog.=) ANY ($1) AND s.active AND s.last_error IS NULL"
						   " AND (s.next_run_at IS NULL OR s.next_run_at OPERATOR(pg_catalog.<=) $2)"
						   " ORDER BY s.next_run_at NULLS FIRST FOR UPDATE SKIP LOCKED",
						   lengthof(types), types, values, NULL, &rows);
	process_batch(rows, found, now, schedule_fire);
	return found;
}

/* ------------------------------------------------------------------------
 * A clock that was wrong
 * ------------------------------------------------------------------------ */

/*
 * Compute the next tick of a schedule, as of now.  Ticks that have fired in
 * the present near future do not fire again: the schedule goes on after them.
 * If they are further ahead the clock was plainly wrong, and they do not
 * count.
 */
static void
recheck_schedule(Schedule *s, TimestampTz now)
{
	ScheduleClock clock;
	TimestampTz after = now;
	TimestampTz tick;
	char	   *error;

	if (s->last_tick != NO_TIME && s->last_tick > now)
	{
		if (s->last_tick - now <= CLOCK_TRUSTED)
			after = s->last_tick;
		else
			s->last_tick = NO_TIME;
	}
	if (!schedule_clock_open(&clock, s, &error))
		schedule_suspend(s, error);
	else if (schedule_next(&clock, after, &tick) && tick == s->next_tick)
		return;
	else
		schedule_advance(s, &clock, after, now);
	schedule_write_state(s);
}

/* Some of those whose next tick is in the future; returns the last id, 0 at the end */
static int64
recheck_batch(TimestampTz now, int64 after)
{
	Oid			types[] = {TIMESTAMPTZOID, INT8OID, INT8OID};
	Datum		values[] = {TimestampTzGetDatum(now), Int64GetDatum(after),
		Int64GetDatum(BATCH_ROWS)};
	Schedule   *rows;
	uint64		n;

	n = schedule_query("SELECT " SCHEDULE_COLUMNS " FROM defer.schedule s"
					   " WHERE s.active AND s.last_error IS NULL"
					   " AND s.next_tick OPERATOR(pg_catalog.>) $1"
					   " AND s.id OPERATOR(pg_catalog.>) $2"
					   " ORDER BY s.id LIMIT $3 FOR UPDATE SKIP LOCKED",
					   lengthof(types), types, values, NULL, &rows);
	process_batch(rows, n, now, recheck_schedule);
	return n == 0 ? 0 : rows[n - 1].id;
}

/* ------------------------------------------------------------------------
 * Entry points
 * ------------------------------------------------------------------------ */

static void
begin(bool own_transactions)
{
	if (!own_transactions)
		return;
	SetCurrentStatementStartTimestamp();
	own_transaction_begin();
}

static void
end(bool own_transactions)
{
	if (own_transactions)
		own_transaction_end();
}

/*
 * The same after schedules were read, and moved on: some may be of a restore
 * that has committed them since we looked whether we are in a copy.  With them
 * came the mark that it is one (lifecycle/activate.c).  False: then nothing was done.
 */
bool
schedule_end_unless_copy(bool own_transactions)
{
	if (own_transactions && !catalog_is_active())
	{
		AbortCurrentTransaction();
		return false;
	}
	end(own_transactions);
	return true;
}

/* When the next schedule is due; one that is locked is looked at again soon */
static TimestampTz
next_due(TimestampTz now)
{
	TimestampTz next = DT_NOEND;
	OwnSql		own;
	bool		isnull;
	Datum		value;

	own_sql_begin(&own);
	SPI_connect();
	if (SPI_execute("SELECT pg_catalog.min(s.next_run_at) FROM defer.schedule s"
					" WHERE s.active AND s.last_error IS NULL", false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not read the next tick");
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
	{
		next = DatumGetTimestampTz(value);
		if (next <= now)
			next = now + USECS_PER_SEC;
	}
	SPI_finish();
	own_sql_end(&own);
	return next;
}

TimestampTz
schedule_run_due(TimestampTz now, bool own_transactions)
{
	bool		recheck = now < latest_now - USECS_PER_SEC ||
		(own_transactions && latest_now == DT_NOBEGIN);
	MemoryContext context = CurrentMemoryContext;
	MemoryContext scratch = AllocSetContextCreate(context, "defer schedules", ALLOCSET_DEFAULT_SIZES);
	TimestampTz next = DT_NOEND;
	int64		last_id = 0;
	DueList		due;
	uint64		fired = 0;
	bool		turn_over = false;
	bool		more;

	due.n = due.next = 0;
	begin(own_transactions);
	more = catalog_is_active() && citus_node() == 0;
	end(own_transactions);
	if (!more)
	{
		/*
		 * a copy: nothing fires until activate(); or a node of Citus: it is
		 * the coordinator that has schedules
		 */
		MemoryContextSwitchTo(context);
		MemoryContextDelete(scratch);
		return DT_NOEND;
	}

	while (recheck)
	{
		begin(own_transactions);
		MemoryContextSwitchTo(scratch);
		last_id = recheck_batch(now, last_id);
		recheck = last_id != 0;
		more = schedule_end_unless_copy(own_transactions);
		recheck = recheck && more;
		MemoryContextReset(scratch);
	}
	latest_now = now;

	while (more)
	{
		CHECK_FOR_INTERRUPTS();
		begin(own_transactions);
		MemoryContextSwitchTo(scratch);
		if (due.next == due.n)
		{
			/* the rest comes after what else the scheduler has to do */
			turn_over = own_transactions && due.n == TURN_ROWS;
			if (due.n == 0 || fired > 0)
				list_due(&due, now);
			else
				due.n = due.next = 0;	/* all that was listed is locked */
			fired = 0;
			more = due.n > 0 && !turn_over;
		}
		if (more)
			fired += run_batch(&due, now);
		else
			next = turn_over && due.n > 0 ? now : next_due(now);
		if (!schedule_end_unless_copy(own_transactions))
		{
			more = false;
			next = DT_NOEND;
		}
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(context);
	MemoryContextDelete(scratch);
	return next;
}

void
schedule_load_set(void)
{
	uint64		version = scheduled_set_version();
	Schedule   *rows;
	Oid		   *functions;
	uint64		n;
	int			nfunctions = 0;

	n = schedule_query("SELECT " SCHEDULE_COLUMNS " FROM defer.schedule s"
					   " WHERE s.command IS NULL AND NOT s.allow_direct",
					   0, NULL, NULL, NULL, &rows);
	functions = palloc(mul_size(Max(n, 1), sizeof(Oid)));
	for (uint64 i = 0; i < n; i++)
	{
		FunctionEntry *entry = function_by_signature(rows[i].function);

		if (entry != NULL)
			functions[nfunctions++] = entry->oid;
	}
	if (scheduled_set_replace(functions, nfunctions, version))
		return;
	for (int i = 0; i < nfunctions; i++)
		scheduled_set_add(MyDatabaseId, functions[i]);
}
