/*
 * after.c
 *		Jobs that come after other jobs: the transaction that enqueues them.
 *
 * The later job is a row of defer.job with run_at "infinity", which is in no ready
 * queue, and has a row of defer.dependency for each of the earlier ones.  Ends that
 * come meanwhile are not missed: see shmem/dependents.c.  What follows them is in
 * job/dependents.c.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/job_state.h"
#include "base/roles.h"
#include "shmem/dependents.h"
#include "table/dependency_table.h"
#include "table/fan_out_count.h"
#include "table/fan_out_table.h"
#include "table/history_table.h"
#include "table/job_insert.h"
#include "table/job_table.h"
#include "job/after.h"
#include "job/current_job.h"
#include "job/end.h"
#include "job/enqueue_options.h"
#include "job/held.h"
#include "job/key.h"

/* ------------------------------------------------------------------------
 * The options
 * ------------------------------------------------------------------------ */

static char
read_after_failure(FunctionCallInfo fcinfo, int n)
{
	char	   *name;

	if (PG_ARGISNULL(n))
		return AFTER_FAILURE_CANCEL;
	name = text_to_cstring(PG_GETARG_TEXT_PP(n));
	if (strcmp(name, "cancel") == 0)
		return AFTER_FAILURE_CANCEL;
	if (strcmp(name, "run") == 0)
		return AFTER_FAILURE_RUN;
	if (strcmp(name, "hold") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unrecognized value \"%s\" for \"after_failure\"", name),
				 errhint("It is cancel, run or hold.")));
	return AFTER_FAILURE_HOLD;
}

static void
no_such_job(int64 id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("job " INT64_FORMAT " in \"after\" does not exist", id),
			 errhint("It must be a job of yours that was enqueued in this transaction or in one that has committed. Jobs that have finished are removed after defer.retention.")));
}

/* An id and where it stands */
typedef struct Place
{
	int64		id;
	int			place;
} Place;

static int
compare_ids(const void *a, const void *b)
{
	const Place *x = a;
	const Place *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->place < y->place ? -1 : x->place > y->place;
}

static int
compare_places(const void *a, const void *b)
{
	const Place *x = a;
	const Place *y = b;

	return x->place < y->place ? -1 : x->place > y->place;
}

/* Leave the first of those that are equal.  Returns how many there are then */
static int
remove_duplicates(Place *places, int n)
{
	int			kept = 0;

	qsort(places, n, sizeof(Place), compare_ids);
	for (int i = 0; i < n; i++)
	{
		if (i == 0 || places[i].id != places[kept - 1].id)
			places[kept++] = places[i];
	}
	qsort(places, kept, sizeof(Place), compare_places);
	return kept;
}

bool
after_read(FunctionCallInfo fcinfo, int first, After *after)
{
	Datum	   *elements;
	bool	   *nulls;
	Place	   *places;
	int			n;

	if (first < 0)
		return false;
	if (PG_ARGISNULL(first + OPTION_AFTER))
	{
		if (!PG_ARGISNULL(first + OPTION_AFTER_FAILURE))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"after_failure\" is given without \"after\""),
					 errhint("Name the jobs that this one comes after.")));
		return false;
	}
	after->on_states = after->each = NULL;
	after->after_failure = read_after_failure(fcinfo, first + OPTION_AFTER_FAILURE);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(first + OPTION_AFTER), INT8OID, 8, FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &elements, &nulls, &n);
	if (n == 0)
		return false;
	places = palloc(n * sizeof(Place));
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("\"after\" must not contain NULL"),
					 errdetail("Element %d is NULL.", i + 1)));
		places[i] = (Place) {DatumGetInt64(elements[i]), i};
		if (places[i].id <= 0)
			no_such_job(places[i].id);
	}
	after->n = remove_duplicates(places, n);
	after->ids = palloc(after->n * sizeof(int64));
	for (int i = 0; i < after->n; i++)
		after->ids[i] = places[i].id;
	return true;
}

/* ------------------------------------------------------------------------
 * The earlier jobs
 * ------------------------------------------------------------------------ */

/* The batch of a job "succeeds" when it is over */
static void
look_at_batch(int64 id, JobLook *look)
{
	FanOut		fan_out;

	look->found = fan_out_read(id, &fan_out);
	if (!look->found)
		return;
	look->owner = fan_out.owner;
	look->state = fan_out.done ? STATE_SUCCEEDED : PARENT_NOT_ENDED;
}

/* "again": for the second time, see job_find() */
static void
look_at_job(int64 id, JobLook *look, bool again)
{
	TupleTableSlot *slot;
	ItemPointerData tid;
	HistoryRow	row;
	bool		is_free = false;

	CommandCounterIncrement();

	/* in this order: the row goes only after there is one in the history */
	slot = table_slot_create(job_table()->rel, NULL);
	look->found = job_tid(id, &tid, slot);
	if (look->found)
	{
		bool		isnull;

		look->owner = DatumGetObjectId(slot_getattr(slot, JOB_OWNER, &isnull));
		(void) slot_getattr(slot, JOB_CLAIM, &is_free);
	}
	ExecDropSingleTupleTableSlot(slot);
	if (look->found && is_free)
		return;					/* one that has ended would have a claim */
	if (!history_read(id, &row))
	{
		/* a job that was not in the table may have been taken on again by now */
		if (!look->found && !again)
			look_at_job(id, look, true);
		return;
	}
	look->found = true;
	look->owner = row.job.owner;
	look->state = row.state;
	look->rerun_of = row.job.rerun_of;
}

void
job_look(int64 id, JobLook *look)
{
	memset(look, 0, sizeof(JobLook));
	if (id < 0)
		look_at_batch(-id, look);
	else
		look_at_job(id, look, false);
}

static void
check_found(int64 id, const JobLook *look)
{
	if (!look->found || !(role_may_manage(look->owner) || current_job_is_acted(id)))
		no_such_job(id);
}

char *
after_reason(int64 id, char state)
{
	const char *what = state == STATE_SUCCEEDED ? "succeeded" : state == STATE_FAILED ? "failed" :
		state == STATE_CANCELLED ? "was cancelled" :
		state == STATE_DISCARDED ? "was discarded" : "is not there any more";

	return psprintf("job " INT64_FORMAT ", which it came after, %s", id, what);
}

/*
 * Look at one of the earlier jobs, and fill in its row.  Returns whether it cancels
 * the later one.
 */
static bool
look_at_parent(const After *after, int i, Dependency *row)
{
	const char	after_failure = after->each != NULL ? after->each[i] : after->after_failure;
	int64		id = after->ids[i];
	JobLook		look;

	dependents_publish(id);
	job_look(id, &look);
	if (id > 0)
		check_found(id, &look);
	else if (!look.found)
		look.state = STATE_SUCCEEDED;	/* it was over before there was one */
	*row = (Dependency)
	{
		.ord = i + 1, .owner = after->owner, .parent_id = id, .awaits_id = id,
			.after_failure = after_failure, .state = look.state
	};
	if (i == 0 && after->on_states != NULL)
		strlcpy(row->on_states, after->on_states, sizeof(row->on_states));
	if (look.state == PARENT_NOT_ENDED)
		row->open = true;
	else if (look.state != STATE_SUCCEEDED && after_failure == AFTER_FAILURE_HOLD)
	{
		row->open = true;
		row->awaits_id = look.rerun_of != 0 ? look.rerun_of : id;
	}
	return look.state != PARENT_NOT_ENDED && dependency_cancels(row, look.state);
}

/* ------------------------------------------------------------------------
 * The later job
 * ------------------------------------------------------------------------ */

static void
insert_rows(Dependency *rows, int n, int64 child_id, bool may_be_open)
{
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		rows[i].child_id = child_id;
		rows[i].open = rows[i].open && may_be_open;
		dependency_insert(&rows[i]);
		if (rows[i].open)
			dependents_opened(rows[i].awaits_id);
	}
}

/* A job with that key would come after others than it was enqueued with, or in a circle */
static void
check_rule(const Job *job, const KeyRule *rule)
{
	if (job->key != NULL &&
		(rule->on_key == ON_KEY_REPLACE || rule->on_key == ON_KEY_DEBOUNCE))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"after\" cannot be given with an \"on_key\" that changes the job which has the key"),
				 errhint("Use \"on_key\" of \"keep\" or \"error\".")));
}

/* Look at all of the earlier jobs; *waits: one has not ended.  Returns why it is cancelled */
static const char *
look_at_parents(After *after, bool *waits)
{
	MemoryContext outer = CurrentMemoryContext;
	MemoryContext scratch = AllocSetContextCreate(outer, "defer earlier job",
												  ALLOCSET_DEFAULT_SIZES);
	const char *why = NULL;

	for (int i = 0; i < after->n; i++)
	{
		Dependency *row = &after->rows[i];
		bool		cancels;

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(scratch);
		cancels = look_at_parent(after, i, row);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(scratch);
		if (cancels && why == NULL)
			why = after_reason(row->parent_id, row->state);
		*waits = *waits || row->open;
	}
	MemoryContextDelete(scratch);
	return why;
}

bool
after_prepare(After *after, Job *job, const KeyRule *rule)
{
	const char *why;
	bool		waits = false;

	check_rule(job, rule);
	after->owner = job->owner;
	after->rows = palloc_extended((Size) after->n * sizeof(Dependency), MCXT_ALLOC_HUGE);
	dependents_begin(job->key != NULL);
	why = look_at_parents(after, &waits);
	if (why != NULL)
	{
		/* it ends before it has had a row */
		if (job->id == 0)
			job->id = job_new_id();
		fan_out_enqueued(job);
		job_end_without_row(job, STATE_CANCELLED, NULL, why);
		insert_rows(after->rows, after->n, job->id, false);
		return false;
	}
	if (waits)
	{
		job->waits = WAITS_JOBS;
		job_hold(job);
	}
	return true;
}

void
after_write(After *after, int64 id, bool inserted)
{
	if (inserted)
		insert_rows(after->rows, after->n, id, true);
	else
		dependents_cancel();
}

void
after_copy(int64 from, int64 to, Oid owner)
{
	Dependency *rows;
	int			n = dependency_of_child(from, &rows);

	/* without what its steps have waited for, which comes first */
	while (n > 0 && rows[0].ord < 0)
	{
		rows++;
		n--;
	}
	for (int i = 0; i < n; i++)
		rows[i].owner = owner;
	insert_rows(rows, n, to, false);
}
