/*
 * dependents_task.c
 *		The scheduler's part in jobs that come after others.
 *
 * It is told of jobs that have ended and that more others await than the ending
 * transaction treats, of those that a commit may have missed, and of jobs that wait
 * and were locked: see shmem/dependents.c.  At its start, and when it was told of
 * too many, it looks at all open dependencies.
 *
 * All of this is done in parts, each in a transaction of its own, in turns of the
 * roles whose jobs have ended.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/job_state.h"
#include "base/own_transaction.h"
#include "base/timer.h"
#include "shmem/dependents.h"
#include "shmem/dependents_counts.h"
#include "shmem/dependents_told.h"
#include "table/dependency_table.h"
#include "table/event_table.h"
#include "job/after.h"
#include "job/dependents.h"
#include "job/dependents_task.h"

/* Dependencies in one transaction; rows of a part of a scan */
#define SETTLE_PART		1000
#define SCAN_PART		1000
#define STOP_PART		100		/* jobs that are cancelled */

/* Jobs that are remembered; the scan waits while there are so many, and finds more */
#define MAX_ITEMS		4096

/* One turn ends after so long (microseconds) */
#define TURN_TIME		(50 * 1000)

/* Rows were locked, or there was an error: again after (microseconds) */
#define BUSY_DELAY		USECS_PER_SEC
#define ERROR_DELAY		(5 * USECS_PER_SEC)

/* A job to look at */
typedef struct Errand
{
	bool		waits;			/* ended.id waits: it has not ended */
	Oid			owner;
	EndedJob	ended;
	TimestampTz not_before;
} Errand;

/* The parts of the look at all dependencies */
typedef enum ScanPhase
{
	SCAN_DONE,
	SCAN_AWAITED,				/* has a job ended that is awaited? */
	SCAN_OWN,					/* or one that has jobs of its own? */
	SCAN_WAITING,				/* does a job wait for none? */
	SCAN_CLEAN,					/* rows of jobs that are gone */
	SCAN_CLEAN_STEPS,			/* the same of defer.step */
	SCAN_CLEAN_SIGNALS,			/* and of defer.signal */
	SCAN_CLEAN_WORKFLOWS,		/* of defer.workflow */
	SCAN_CLEAN_WORKFLOW_STEPS,	/* of defer.workflow_step */
	SCAN_CLEAN_BATCHES			/* batches that no row names any more */
} ScanPhase;

static struct
{
	List	   *items;			/* in TopMemoryContext */
	Oid			last_owner;		/* whose turn it was */
	ScanPhase	phase;
	bool		clean;			/* the scan goes on to SCAN_CLEAN */
	int64		cursor;			/* ids up to here are done */
	int64		cursor_parent;	/* of SCAN_AWAITED, the second part */
}			task;

/* ------------------------------------------------------------------------
 * Items
 * ------------------------------------------------------------------------ */

static void
add_item(const Errand *item)
{
	MemoryContext context;
	ListCell   *cell;
	Errand	   *copy;

	foreach(cell, task.items)
	{
		const Errand *other = lfirst(cell);

		if (other->waits == item->waits && other->ended.id == item->ended.id &&
			other->ended.line == item->ended.line && other->ended.after == 0)
			return;
	}
	context = MemoryContextSwitchTo(TopMemoryContext);
	copy = palloc(sizeof(Errand));
	*copy = *item;
	task.items = lappend(task.items, copy);
	MemoryContextSwitchTo(context);
}

/* Look at what is awaited: a job, or an event that has "ended" when it is there */
static void
look_at_awaited(int64 id, JobLook *look)
{
	if (!awaited_is_event(id))
	{
		job_look(id, look);
		return;
	}
	memset(look, 0, sizeof(JobLook));
	look->found = true;
	look->state = event_exists(id, &look->owner) ? STATE_SUCCEEDED : PARENT_NOT_ENDED;
}

/* A job that has ended, or is gone.  One that has not needs nothing */
static void
add_ended(int64 id, int64 line_if_gone)
{
	Errand		item = {.ended = {.id = id, .line = id, .own_after = PG_INT32_MIN}};
	JobLook		look;

	look_at_awaited(id, &look);
	if (look.found && look.state == PARENT_NOT_ENDED)
		return;
	item.owner = look.owner;
	item.ended.state = look.found ? look.state : PARENT_GONE;
	if (!look.found)
		item.ended.line = line_if_gone;
	else if (look.rerun_of != 0)
		item.ended.line = look.rerun_of;
	add_item(&item);
}

static void
add_waiting(int64 id)
{
	Errand		item = {.waits = true, .ended = {.id = id, .line = id}};
	JobLook		look;

	job_look(id, &look);
	item.owner = look.owner;
	if (look.found)
		add_item(&item);
}

/* What commits have told the scheduler */
static void
take_told(void)
{
	DependentsTold told[DEPENDENTS_TOLD];
	bool		all,
				clean;
	int			n = dependents_take(told, &all, &clean);

	if (all)
	{
		task.phase = SCAN_AWAITED;
		task.cursor = task.cursor_parent = PG_INT64_MIN;
		task.clean = task.clean || clean;
	}
	if (n == 0)
		return;
	own_transaction_begin();
	for (int i = 0; i < n; i++)
	{
		if (told[i].waits)
			add_waiting(told[i].id);
		else
			add_ended(told[i].id, told[i].id);
	}
	own_transaction_end();
}

/* ------------------------------------------------------------------------
 * The look at all
 * ------------------------------------------------------------------------ */

/* Run a statement that takes the cursor; its rows are in SPI_tuptable */
static uint64
scan_rows(const char *sql)
{
	Oid			types[] = {INT8OID, INT8OID, INT4OID};
	Datum		values[] = {Int64GetDatum(task.cursor), Int64GetDatum(task.cursor_parent),
		Int32GetDatum(SCAN_PART)};

	return own_sql_run(sql, lengthof(types), types, values, NULL, SPI_OK_SELECT);
}

static int64
column(uint64 row, int number)
{
	bool		isnull;

	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number,
									   &isnull));
}

/*
 * Jobs that are awaited by open dependencies.  Of one for which a later job is held it
 * matters only whether it is gone.
 */
static bool
scan_awaited(void)
{
	uint64		n = scan_rows("SELECT d.awaits_id, d.parent_id, pg_catalog.bool_and(d.state IS NOT NULL)"
							  " FROM defer.dependency d WHERE d.open"
							  " AND d.awaits_id OPERATOR(pg_catalog.>=) $1"
							  " AND (d.awaits_id OPERATOR(pg_catalog.>) $1 OR d.parent_id OPERATOR(pg_catalog.>) $2)"
							  " GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $3");

	for (uint64 i = 0; i < n; i++)
	{
		int64		line = column(i, 1);
		int64		id = column(i, 2);
		bool		isnull;
		bool		held = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[i],
													  SPI_tuptable->tupdesc, 3, &isnull));
		JobLook		look = {0};

		if (held)
			job_look(id, &look);
		if (!look.found)
			add_ended(id, line);
		task.cursor = line;
		task.cursor_parent = id;
	}
	return n < SCAN_PART;
}

/* Jobs that have ended otherwise than well before some of their own */
static bool
scan_own(void)
{
	uint64		n = scan_rows("SELECT d.child_id FROM defer.dependency d WHERE d.open"
							  " AND d.after_failure OPERATOR(pg_catalog.=) 'o'"
							  " AND d.child_id OPERATOR(pg_catalog.>) $1 AND $2 IS NOT NULL"
							  " AND NOT EXISTS (SELECT FROM defer.job j WHERE j.id OPERATOR(pg_catalog.=) d.child_id)"
							  " GROUP BY 1 ORDER BY 1 LIMIT $3");

	for (uint64 i = 0; i < n; i++)
	{
		task.cursor = column(i, 1);
		add_ended(task.cursor, task.cursor);
	}
	return n < SCAN_PART;
}

static bool
scan_waiting(void)
{
	uint64		n = scan_rows("SELECT j.id, j.waits FROM defer.job j WHERE j.waits OPERATOR(pg_catalog.=) ANY ('{j,p,w,e}'::pg_catalog.\"char\"[])"
							  " AND j.id OPERATOR(pg_catalog.>) $1 AND $2 IS NOT NULL"
							  " ORDER BY j.id LIMIT $3");

	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		char		waits = DatumGetChar(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
													   2, &isnull));

		task.cursor = column(i, 1);
		if (dependents_are_over(task.cursor, waits))
			add_waiting(task.cursor);
	}
	return n < SCAN_PART;
}

/* Delete what belongs to jobs whose history is gone, too */
static bool
scan_clean(const char *table, const char *column)
{
	uint64		n = scan_rows(psprintf("SELECT DISTINCT d.id FROM (SELECT x.%s AS id FROM defer.%s x"
									   " WHERE x.%s OPERATOR(pg_catalog.>) $1 AND $2 IS NOT NULL"
									   " ORDER BY x.%s LIMIT $3) d ORDER BY 1",
									   column, table, column, column));
	SPITupleTable *rows = SPI_tuptable;

	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		id = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull);
		Oid			type = INT8OID;
		JobLook		look;

		task.cursor = DatumGetInt64(id);
		job_look(task.cursor, &look);
		if (!look.found)
			(void) own_sql_run(psprintf("DELETE FROM defer.%s WHERE %s OPERATOR(pg_catalog.=) $1",
										table, column),
							   1, &type, &id, NULL, SPI_OK_DELETE);
	}
	return n == 0;
}

static bool
scan_clean_batches(void)
{
	Oid			types[] = {INT8OID, INT8OID};
	Datum		values[] = {Int64GetDatum(task.cursor), (Datum) 0};
	uint64		n = scan_rows("SELECT f.id FROM defer.fan_out f WHERE f.id OPERATOR(pg_catalog.>) $1"
							  " AND $2 IS NOT NULL ORDER BY f.id LIMIT $3");

	if (n == 0)
		return true;
	task.cursor = column(n - 1, 1);
	values[1] = Int64GetDatum(task.cursor);
	(void) own_sql_run("DELETE FROM defer.fan_out f WHERE f.id OPERATOR(pg_catalog.>) $1"
					   " AND f.id OPERATOR(pg_catalog.<=) $2 AND f.done AND NOT EXISTS"
					   " (SELECT FROM defer.dependency d WHERE d.awaits_id OPERATOR(pg_catalog.<) 0"
					   " AND d.awaits_id OPERATOR(pg_catalog.=) (OPERATOR(pg_catalog.-) f.id))",
					   lengthof(types), types, values, NULL, SPI_OK_DELETE);
	return false;
}

static void
next_phase(void)
{
	task.cursor = task.cursor_parent = 0;
	if (task.phase == SCAN_AWAITED)
		task.phase = SCAN_OWN;
	else if (task.phase == SCAN_OWN)
		task.phase = SCAN_WAITING;
	else if (task.phase == SCAN_WAITING && task.clean)
		task.phase = SCAN_CLEAN;
	else if (task.phase == SCAN_CLEAN)
		task.phase = SCAN_CLEAN_STEPS;
	else if (task.phase == SCAN_CLEAN_STEPS)
		task.phase = SCAN_CLEAN_SIGNALS;
	else if (task.phase == SCAN_CLEAN_SIGNALS)
		task.phase = SCAN_CLEAN_WORKFLOWS;
	else if (task.phase == SCAN_CLEAN_WORKFLOWS)
		task.phase = SCAN_CLEAN_WORKFLOW_STEPS;
	else if (task.phase == SCAN_CLEAN_WORKFLOW_STEPS)
		task.phase = SCAN_CLEAN_BATCHES;
	else
	{
		task.phase = SCAN_DONE;
		task.clean = false;
	}
}

static void
scan_part(void)
{
	OwnSql		own;
	bool		done;

	own_transaction_begin();
	own_sql_begin(&own);
	SPI_connect();
	done = task.phase == SCAN_AWAITED ? scan_awaited() :
		task.phase == SCAN_OWN ? scan_own() :
		task.phase == SCAN_WAITING ? scan_waiting() :
		task.phase == SCAN_CLEAN ? scan_clean("dependency", "child_id") :
		task.phase == SCAN_CLEAN_BATCHES ? scan_clean_batches() :
		task.phase == SCAN_CLEAN_WORKFLOWS ? scan_clean("workflow", "id") :
		task.phase == SCAN_CLEAN_WORKFLOW_STEPS ? scan_clean("workflow_step", "workflow_id") :
		scan_clean(task.phase == SCAN_CLEAN_STEPS ? "step" : "signal", "job_id");
	SPI_finish();
	own_sql_end(&own);
	if (own_transaction_end_if_active() && done)
		next_phase();
}

/* ------------------------------------------------------------------------
 * Turns
 * ------------------------------------------------------------------------ */

/* The next item, of the role behind the last one; NULL: none is due, until *next */
static Errand *
next_item(TimestampTz now, TimestampTz *next)
{
	Errand	   *behind = NULL;
	Errand	   *first = NULL;
	ListCell   *cell;

	foreach(cell, task.items)
	{
		Errand	   *item = lfirst(cell);

		if (item->not_before > now && item->not_before <= now + ERROR_DELAY)
		{
			*next = Min(*next, item->not_before);
			continue;
		}
		if (first == NULL || item->owner < first->owner)
			first = item;
		if (item->owner > task.last_owner && (behind == NULL || item->owner < behind->owner))
			behind = item;
	}
	return behind != NULL ? behind : first;
}

/* Returns whether the item is done with */
static bool
treat(Errand *item, TimestampTz now)
{
	bool		busy = false;
	bool		more = false;

	own_transaction_begin();
	if (item->waits)
		busy = !dependents_check_waiting(item->ended.id);
	else
	{
		item->ended.until = monotonic_now() + TURN_TIME;
		more = dependents_settle(&item->ended, SETTLE_PART, &busy) ||
			dependents_stop_own(&item->ended, STOP_PART, &busy);
	}
	if (!own_transaction_end_if_active())
		busy = true;
	if (busy)
	{
		/* from the beginning: what is done is not met again */
		item->ended.after = 0;
		item->ended.own_after = PG_INT32_MIN;
		item->ended.of_line = false;
		item->not_before = now + BUSY_DELAY;
	}
	return !more && !busy;
}

static void
treat_item(Errand *item, TimestampTz now)
{
	MemoryContext context = CurrentMemoryContext;
	EndedJob	before = item->ended;
	volatile bool done = false;

	PG_TRY();
	{
		done = treat(item, now);
	}
	PG_CATCH();
	{
		own_transaction_report_error(context);
		item->ended = before;
		item->not_before = now + ERROR_DELAY;
	}
	PG_END_TRY();
	task.last_owner = item->owner;
	if (done)
	{
		task.items = list_delete_ptr(task.items, item);
		pfree(item);
	}
}

TimestampTz
dependents_maintain(TimestampTz now)
{
	const int64 began = monotonic_now();
	TimestampTz next = DT_NOEND;
	Errand	   *item;

	take_told();
	if (task.phase != SCAN_DONE && list_length(task.items) < MAX_ITEMS)
		scan_part();
	while ((item = next_item(now, &next)) != NULL)
	{
		treat_item(item, now);
		if (monotonic_now() - began > TURN_TIME)
			return now;
	}
	return task.phase != SCAN_DONE ? now : next;
}

/*
 * Count the open dependencies, in a transaction of the caller.  Then all of them are
 * looked at.
 */
void
dependents_load(void)
{
	dependents_load_begin();
	dependency_each_open(dependents_load_count);
	dependents_load_end();
	dependents_look_at_all(false);
}
