/*
 * fan_out_count.c
 *		How many jobs of a batch were enqueued, and how many have ended.
 *
 * No row is changed by all workers: a transaction appends a row to
 * defer.fan_out_delta for each batch, and the scheduler adds these up
 * (job/fan_out_task.c).  A worker deletes the rows of a whole claim in one
 * transaction, so a million jobs are some thousand rows.
 *
 *	- Jobs are counted as enqueued in the transaction that inserts them;
 *	- as ended in the transaction that deletes their row of defer.job, as
 *	  table/rollup.c does: once, also after a crash;
 *	- the batch is closed by the transaction that ends its job.
 *
 * So in a snapshot in which a batch is closed, and all that was enqueued has ended,
 * nothing more can come.
 *
 * A job may call defer.when_done() after it has enqueued others.  Therefore what is
 * enqueued by the job that this process runs is noted in any case, and whether
 * there is a batch is looked up before the commit.  Jobs that it had enqueued in
 * earlier transactions have smaller ids than the batch's from_id.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/callbacks.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/job.h"
#include "base/job_state.h"
#include "shmem/dependents_counts.h"
#include "shmem/xact_notify.h"
#include "table/direct_insert.h"
#include "table/fan_out_count.h"
#include "table/fan_out_table.h"

/* Notes that are looked at for one of the same batch */
#define LOOKED_BACK	8

enum
{
	DELTA_ID = 1, DELTA_CLOSED, DELTA_JOBS, DELTA_ENDED,
	DELTA_NATTS = DELTA_ENDED + JOB_ENDS - 1
};

static const char *const delta_columns[DELTA_NATTS] = {
	[DELTA_ID - 1] = "id",
	[DELTA_CLOSED - 1] = "closed",
	[DELTA_JOBS - 1] = "jobs",
	[DELTA_ENDED - 1] = "succeeded",
	[DELTA_ENDED] = "failed",
	[DELTA_ENDED + 1] = "cancelled",
	[DELTA_ENDED + 2] = "discarded",
};

/* What is counted of a batch, or of a job that may get one yet */
typedef struct Note
{
	int64		id;
	int			level;			/* nest level of the transaction; it grows
								 * from note to note */
	bool		closed;
	int64		jobs;
	int64		ended[JOB_ENDS];
} Note;

/* Of this transaction; notes are in TopTransactionContext */
static struct
{
	int			n;
	int			size;
	Note	   *notes;
	int64		parent;			/* the job that enqueues; 0: none does */
	int64		first_id;		/* of those that it has enqueued */
	int64		known_id;		/* a batch that was read; 0: none */
	int64		known_from;		/* its from_id */
	int64		asked_of;		/* fan_out_of_children() was asked of this job */
	int64		answer;
}			counts;

static Note *
note_of(int64 id)
{
	int			level = GetCurrentTransactionNestLevel();
	Note	   *note;

	for (int i = counts.n - 1; i >= Max(counts.n - LOOKED_BACK, 0); i--)
	{
		if (counts.notes[i].level != level)
			break;
		if (counts.notes[i].id == id)
			return &counts.notes[i];
	}
	if (counts.n == counts.size)
	{
		Size		bytes;

		counts.size = Max(16, counts.size * 2);
		bytes = counts.size * sizeof(Note);
		counts.notes = counts.notes == NULL ? MemoryContextAlloc(TopTransactionContext, bytes) :
			repalloc_huge(counts.notes, bytes);
	}
	note = &counts.notes[counts.n++];
	memset(note, 0, sizeof(Note));
	note->id = id;
	note->level = level;
	return note;
}

static void
add_note(Note *to, const Note *from)
{
	to->closed = to->closed || from->closed;
	to->jobs += from->jobs;
	for (int i = 0; i < JOB_ENDS; i++)
		to->ended[i] += from->ended[i];
}

/* ------------------------------------------------------------------------
 * Counting
 * ------------------------------------------------------------------------ */

/* Check whether there is a batch of the job that counts one with that id, or a later one */
static bool
is_counted(int64 id, int64 child_id)
{
	FanOut		fan_out;

	if (counts.known_id != id)
	{
		if (!fan_out_find(id, &fan_out))
			return false;
		counts.known_id = id;
		counts.known_from = fan_out.from_id;
	}
	return child_id >= counts.known_from;
}

void
fan_out_enqueued(const Job *job)
{
	if (job->parent_id == 0)
		return;
	if (counts.parent != job->parent_id)
	{
		counts.parent = job->parent_id;
		counts.first_id = job->id;
	}
	note_of(job->parent_id)->jobs++;
	fan_out_enqueued_deep(job);
}

void
fan_out_enqueued_deep(const Job *job)
{
	if (job->fan_out_id != 0 && job->fan_out_id != job->parent_id)
		note_of(job->fan_out_id)->jobs++;
}

/* n: 1, or -1 if the job has not ended after all */
static void
note_end(int64 id, const Job *job, char state, int n)
{
	if ((counts.parent == id && job->id >= counts.first_id) || is_counted(id, job->id))
		note_of(id)->ended[job_end_number(state)] += n;
}

/* Reruns and runs of schedules have a parent, too, and are not its batch */
static bool
is_of_batch(const Job *job)
{
	return job->parent_id != 0 && job->rerun_of == 0 && job->schedule_id == 0;
}

static void
note_ends(const Job *job, char state, int n)
{
	if (!is_of_batch(job))
		return;
	note_end(job->parent_id, job, state, n);
	if (job->fan_out_id != 0 && job->fan_out_id != job->parent_id)
		note_end(job->fan_out_id, job, state, n);
}

void
fan_out_ended(const Job *job, char state)
{
	note_ends(job, state, 1);
}

void
fan_out_reopened(const Job *job, char state)
{
	note_ends(job, state, -1);
}

void
fan_out_close(int64 id)
{
	if (dependents_may_have(-id))
		note_of(id)->closed = true;
}

int64
fan_out_first_id(int64 id)
{
	return counts.parent == id ? counts.first_id : 0;
}

int64
fan_out_of_children(const Job *job)
{
	FanOut		fan_out;

	if (counts.asked_of != job->id)
	{
		counts.answer = fan_out_find(job->id, &fan_out) && fan_out.deep ? job->id :
			job->fan_out_id;
		counts.asked_of = job->id;
	}
	return counts.answer;
}

void
fan_out_forget(int64 id)
{
	if (counts.asked_of == id)
		counts.asked_of = 0;
}

bool
fan_out_may_count(const Job *job)
{
	return is_of_batch(job) && (job->fan_out_id != 0 || dependents_may_have(-job->parent_id));
}

bool
fan_out_is_same(const Job *job, const Job *other)
{
	return is_of_batch(other) && job->parent_id == other->parent_id &&
		job->fan_out_id == other->fan_out_id;
}

/* ------------------------------------------------------------------------
 * The end of the transaction
 * ------------------------------------------------------------------------ */

static int
compare_notes(const void *a, const void *b)
{
	int64		x = ((const Note *) a)->id;
	int64		y = ((const Note *) b)->id;

	return x < y ? -1 : x > y;
}

static void
write_note(const Note *note)
{
	Datum		values[DELTA_NATTS];
	bool		nulls[DELTA_NATTS] = {false};

	values[DELTA_ID - 1] = Int64GetDatum(note->id);
	values[DELTA_CLOSED - 1] = BoolGetDatum(note->closed);
	values[DELTA_JOBS - 1] = Int64GetDatum(note->jobs);
	for (int i = 0; i < JOB_ENDS; i++)
		values[DELTA_ENDED - 1 + i] = Int64GetDatum(note->ended[i]);
	direct_insert(catalog_oid(CAT_FAN_OUT_DELTA), delta_columns, DELTA_NATTS, values, nulls);
	xact_notify_fan_out();
}

/* Those of jobs without a batch were noted in vain */
static void
write_notes(void)
{
	qsort(counts.notes, counts.n, sizeof(Note), compare_notes);
	for (int i = 0; i < counts.n; i++)
	{
		Note	   *note = &counts.notes[i];

		if (i + 1 < counts.n && counts.notes[i + 1].id == note->id)
			add_note(&counts.notes[i + 1], note);
		else if (is_counted(note->id, PG_INT64_MAX))
			write_note(note);
	}
}

/* Check that no other session sees a batch, nor those in which it is counted, too */
static bool
is_uncommitted(int64 id)
{
	FanOut		fan_out;

	if (!fan_out_find(id, &fan_out) || !fan_out.uncommitted)
		return false;
	while (fan_out.outer_id != 0)
	{
		if (!fan_out_read(fan_out.outer_id, &fan_out) || !fan_out.uncommitted)
			return false;
	}
	return true;
}

static bool
is_empty(const Note *note)
{
	static const int64 none[JOB_ENDS] = {0};

	return !note->closed && note->jobs == 0 && memcmp(note->ended, none, sizeof(none)) == 0;
}

/*
 * What is taken is noted once more, with the opposite sign, at this level: an abort of it
 * takes back both.
 */
int
fan_out_take(FanOutCount **taken)
{
	const int	nnotes = counts.n;
	Note	   *notes = palloc_extended(Max(nnotes, 1) * sizeof(Note), MCXT_ALLOC_HUGE);
	int			n = 0;

	if (nnotes > 0)
		memcpy(notes, counts.notes, nnotes * sizeof(Note));
	qsort(notes, nnotes, sizeof(Note), compare_notes);
	*taken = palloc_extended(Max(nnotes, 1) * sizeof(FanOutCount), MCXT_ALLOC_HUGE);
	for (int i = 0; i < nnotes; i++)
	{
		Note	   *back;

		notes[i].level = 0;
		if (i + 1 < nnotes && notes[i + 1].id == notes[i].id)
		{
			add_note(&notes[i + 1], &notes[i]);
			continue;
		}
		if (is_empty(&notes[i]) || !is_uncommitted(notes[i].id))
			continue;
		back = note_of(notes[i].id);
		back->jobs -= notes[i].jobs;
		for (int j = 0; j < JOB_ENDS; j++)
			back->ended[j] -= notes[i].ended[j];
		(*taken)[n].id = notes[i].id;
		(*taken)[n].closed = notes[i].closed;
		(*taken)[n].jobs = notes[i].jobs;
		memcpy((*taken)[n++].ended, notes[i].ended, sizeof(notes[i].ended));
	}
	pfree(notes);
	return n;
}

static void
before_commit(void)
{
	if (COMPAT_INSERT_NEEDS_SNAPSHOT)
		PushActiveSnapshot(GetTransactionSnapshot());
	write_notes();
	if (COMPAT_INSERT_NEEDS_SNAPSHOT)
		PopActiveSnapshot();
}

static void
fan_out_xact_callback(XactEvent event)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (counts.n > 0)
				before_commit();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			memset(&counts, 0, sizeof(counts));
			break;
		default:
			break;
	}
}

/* What a subtransaction has noted is its parent's now */
static void
hand_on_notes(int level)
{
	int			first = counts.n;
	int			n;

	while (first > 0 && counts.notes[first - 1].level >= level)
		first--;
	n = counts.n;
	counts.n = first;
	for (int i = first; i < n; i++)
	{
		Note		note = counts.notes[i];
		bool		added = false;

		note.level = level - 1;
		for (int j = counts.n - 1; j >= Max(counts.n - LOOKED_BACK, 0) && !added; j--)
		{
			added = counts.notes[j].id == note.id && counts.notes[j].level == note.level;
			if (added)
				add_note(&counts.notes[j], &note);
		}
		if (!added)
			counts.notes[counts.n++] = note;
	}
}

static void
fan_out_subxact_callback(SubXactEvent event)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_COMMIT_SUB)
		hand_on_notes(level);
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (counts.n > 0 && counts.notes[counts.n - 1].level >= level)
			counts.n--;

		/* a batch may have gone with it */
		counts.known_id = counts.asked_of = 0;
	}
}

void
fan_out_count_init(void)
{
	defer_on_xact_event(fan_out_xact_callback);
	defer_on_subxact_event(fan_out_subxact_callback);
}
