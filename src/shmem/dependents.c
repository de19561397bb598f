/*
 * dependents.c
 *		Jobs that come after other jobs, in a transaction: see dependents.h.
 *
 * A dependency is open until the job that it awaits has ended.  A transaction counts its
 * dependencies before they are visible, as "opening", puts them to those that are
 * committed after that, and takes them off after they are visibly closed
 * (shmem/dependents_counts.c).
 *
 * No transaction waits for another one.  So two things could be missed.
 *
 * 1. A transaction E enqueues a job after P, which has not ended, and another one
 * ends P and does not see the dependency.  E publishes P before it looks whether P
 * has ended (flight).  The one that ends P looks for dependencies, and after its
 * commit is visible looks who has published P.  If E has not committed yet, the end
 * is stamped on P's cell, and E finds it after its own commit.  If E has committed
 * meanwhile it has left a stamp of its own.  The transaction that finds a stamp
 * tells the scheduler of P.
 *
 * 2. Two transactions end the last two jobs that a job waits for, and each finds the
 * other's dependency open.  After its commit is visible each looks whether a
 * dependency of that job was closed since it began to look, and then leaves its
 * stamp.  The later one finds the stamp, and tells the scheduler of the job.
 *
 * Stamps are read from one clock, which grows with each of them.  They are of a
 * hash of the job, so one may be of another: then the scheduler looks in vain.
 * test/model/dependents.pml is a model of all this.
 *
 * Length: both sides of the protocol stand side by side.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "base/callbacks.h"
#include "shmem/databases.h"
#include "shmem/dependents.h"
#include "shmem/dependents_counts.h"
#include "shmem/dependents_told.h"
#include "shmem/shmem.h"

#define STAMP_CELLS	4096

/* Jobs that a transaction ends and that are remembered by id */
#define MAX_ENDED	32

/* Of a job that is awaited, or that waits; under dependents_lock */
typedef struct StampCell
{
	uint32		flight;			/* publications of transactions under way */
	uint64		ended;			/* such a job has ended while one was */
	uint64		published;		/* one has committed */
	uint64		closed;			/* a dependency of such a job was closed */
} StampCell;

typedef struct Dependents
{
	pg_atomic_uint64 clock;
	pg_atomic_uint64 published; /* the last stamp of that kind */
	pg_atomic_uint32 flight;	/* sum over the cells */
	uint64		ended_all;		/* more jobs have ended than are known by id */
	StampCell	cells[STAMP_CELLS];
} Dependents;

static Dependents *dependents = NULL;

/* What the transaction has done about a job */
typedef struct Note
{
	int64		id;
	SubTransactionId subid;
	int32		flight;			/* publications */
	int32		opened;			/* dependencies */
	int32		opening;		/* of these are counted already */
	int32		closed;			/* dependencies, to be taken off ... */
	uint32		closed_generation;	/* ... these counters */
	uint64		start;			/* the clock before the first publication */
} Note;

static struct
{
	bool		any;
	bool		may_merge;		/* into notes of earlier calls */
	uint64		start;			/* the clock before the first look */
	uint32		generation;		/* of the counters, likewise */
	DatabaseSlot *slot;			/* with what is opening ... */
	uint32		since;			/* ... of this database; 0: nothing is */
	int			nended;			/* MAX_ENDED + 1: more */
	int64		ended[MAX_ENDED];
	int			ntold;			/* DEPENDENTS_TOLD + 1: all */
	DependentsTold told[DEPENDENTS_TOLD];
	Note	   *notes;			/* these: in TopTransactionContext */
	int			nnotes;
	int			notes_size;
	int			first_note;		/* since dependents_begin() */
	int64	   *children;
	int			nchildren;
	int			children_size;
}			pending;

/* ------------------------------------------------------------------------
 * Shared memory
 * ------------------------------------------------------------------------ */

Size
dependents_shmem_size(void)
{
	return sizeof(Dependents);
}

void
dependents_shmem_init(void)
{
	bool		found;

	dependents = ShmemInitStruct("defer dependents", dependents_shmem_size(), &found);
	if (found)
		return;
	memset(dependents, 0, dependents_shmem_size());
	pg_atomic_init_u64(&dependents->clock, 1);
	pg_atomic_init_u64(&dependents->published, 0);
	pg_atomic_init_u32(&dependents->flight, 0);
}

static StampCell *
stamp_cell(int64 id)
{
	return &dependents->cells[((uint64) id + murmurhash32(MyDatabaseId)) % STAMP_CELLS];
}

/* The next stamp; under dependents_lock */
static uint64
next_stamp(void)
{
	return pg_atomic_add_fetch_u64(&dependents->clock, 1);
}

/* ------------------------------------------------------------------------
 * Notes of the transaction
 * ------------------------------------------------------------------------ */

static void
begin_pending(void)
{
	if (pending.any)
		return;
	pending.any = true;
	pending.may_merge = true;
	pending.start = 0;
	pending.slot = NULL;
	pending.since = 0;
	pending.nended = pending.ntold = 0;
	pending.notes = NULL;
	pending.children = NULL;
	pending.nnotes = pending.notes_size = pending.nchildren = pending.children_size = 0;
	pending.first_note = 0;
}

/* Returns the array, in TopTransactionContext, with room for one more of n elements */
static void *
make_room(void *array, int n, int *size, Size element)
{
	if (n < *size)
		return array;
	*size = Max(16, *size * 2);
	return array == NULL ? MemoryContextAlloc(TopTransactionContext, *size * element) :
		repalloc_huge(array, *size * element);
}

static Note *
note_of(int64 id)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	Note	   *note;

	begin_pending();
	/* the last one is the likely one */
	if (pending.nnotes > (pending.may_merge ? 0 : pending.first_note))
	{
		note = &pending.notes[pending.nnotes - 1];
		if (note->id == id && note->subid == subid)
			return note;
	}
	pending.notes = make_room(pending.notes, pending.nnotes, &pending.notes_size, sizeof(Note));
	note = &pending.notes[pending.nnotes++];
	memset(note, 0, sizeof(Note));
	note->id = id;
	note->subid = subid;
	return note;
}

/* What it has opened is not counted as such any more; under dependents_lock */
static void
end_opening(const Note *note)
{
	if (note->opening > 0 && pending.slot->dependents_since == pending.since)
		pg_atomic_fetch_sub_u32(dependents_opening(pending.slot, note->id), note->opening);
}

/* Take back what the transaction has already counted; under dependents_lock */
static void
undo_note(const Note *note)
{
	if (note->flight > 0)
	{
		stamp_cell(note->id)->flight -= note->flight;
		pg_atomic_fetch_sub_u32(&dependents->flight, note->flight);
	}
	end_opening(note);
}

/* Undo the notes from one on */
static void
undo_notes(int first)
{
	if (pending.nnotes <= first)
		return;
	LWLockAcquire(shared->dependents_lock, LW_EXCLUSIVE);
	for (int i = first; i < pending.nnotes; i++)
		undo_note(&pending.notes[i]);
	LWLockRelease(shared->dependents_lock);
	pending.nnotes = first;
}

/* ------------------------------------------------------------------------
 * Enqueuing
 * ------------------------------------------------------------------------ */

void
dependents_begin(bool may_cancel)
{
	begin_pending();
	pending.may_merge = !may_cancel;
	pending.first_note = pending.nnotes;
}

void
dependents_publish(int64 parent_id)
{
	Note	   *note;

	if (shared == NULL)
		return;
	note = note_of(parent_id);
	LWLockAcquire(shared->dependents_lock, LW_EXCLUSIVE);
	if (note->flight++ == 0)
		note->start = pg_atomic_read_u64(&dependents->clock);
	stamp_cell(parent_id)->flight++;
	pg_atomic_fetch_add_u32(&dependents->flight, 1);
	LWLockRelease(shared->dependents_lock);
}

void
dependents_opened(int64 awaits_id)
{
	DatabaseSlot *slot;
	Note	   *note;

	if (shared == NULL || !dependents_counts(awaits_id))
		return;
	note = note_of(awaits_id);
	note->opened++;
	slot = dependents_slot();
	if (slot == NULL)
		return;
	LWLockAcquire(shared->dependents_lock, LW_EXCLUSIVE);
	if (pending.since == 0)
	{
		pending.slot = slot;
		pending.since = slot->dependents_since;
	}
	if (pending.slot == slot && pending.since == slot->dependents_since)
	{
		note->opening++;
		pg_atomic_fetch_add_u32(dependents_opening(slot, awaits_id), 1);
	}
	LWLockRelease(shared->dependents_lock);
}

void
dependents_cancel(void)
{
	if (shared != NULL)
		undo_notes(pending.first_note);
}

/* ------------------------------------------------------------------------
 * Ending
 * ------------------------------------------------------------------------ */

/* Before the first look into the table */
static void
note_start(void)
{
	DatabaseSlot *slot;

	begin_pending();
	if (pending.start != 0)
		return;
	slot = dependents_slot();
	pending.start = pg_atomic_read_u64(&dependents->clock);
	pending.generation = slot != NULL ? slot->dependents_generation : 0;
	pg_memory_barrier();
}

bool
dependents_ending(int64 id)
{
	if (shared == NULL)
		return true;
	note_start();
	if (pending.nended < MAX_ENDED)
		pending.ended[pending.nended] = id;
	if (pending.nended <= MAX_ENDED)
		pending.nended++;
	return dependents_may_have(id);
}

void
dependents_closed(int64 awaits_id)
{
	DatabaseSlot *slot;
	Note	   *note;
	uint32		generation;

	if (shared == NULL || !dependents_counts(awaits_id))
		return;
	slot = dependents_slot();
	if (slot == NULL)
		return;

	/* if it may not have been counted it is not taken off */
	generation = slot->dependents_generation;
	pg_read_barrier();
	if (!dependents_loaded(slot))
		return;
	note = note_of(awaits_id);
	if (note->closed == 0)
		note->closed_generation = generation;
	if (note->closed_generation == generation)
		note->closed++;
}

void
dependents_still_open(int64 child_id)
{
	if (shared == NULL)
		return;
	note_start();
	pending.children = make_room(pending.children, pending.nchildren, &pending.children_size,
								 sizeof(int64));
	pending.children[pending.nchildren++] = child_id;
}

void
dependents_tell(int64 id, bool waits)
{
	begin_pending();
	if (pending.ntold < DEPENDENTS_TOLD)
		pending.told[pending.ntold] = (DependentsTold) {id, waits};
	if (pending.ntold <= DEPENDENTS_TOLD)
		pending.ntold++;
}

/* ------------------------------------------------------------------------
 * After the commit, and at a rollback
 * ------------------------------------------------------------------------ */

/* What it has enqueued is visible now; under dependents_lock */
static void
commit_note(const Note *note, DatabaseSlot *slot)
{
	StampCell  *cell = stamp_cell(note->id);
	uint64		stamp;

	if (note->opened > 0 && slot != NULL)
		pg_atomic_fetch_add_u32(dependents_counter(slot, note->id), note->opened);
	end_opening(note);
	if (note->closed > 0 && slot != NULL && note->closed_generation == slot->dependents_generation)
	{
		pg_atomic_fetch_add_u32(&slot->dependents_version, 1);
		pg_atomic_fetch_sub_u32(dependents_counter(slot, note->id), note->closed);
	}
	if (note->flight == 0)
		return;
	if (cell->ended > note->start || dependents->ended_all > note->start)
		dependents_tell(note->id, false);
	stamp = next_stamp();
	cell->published = stamp;
	pg_atomic_write_u64(&dependents->published, stamp);
	cell->flight -= note->flight;
	pg_write_barrier();			/* who sees no flight sees the stamp */
	pg_atomic_fetch_sub_u32(&dependents->flight, note->flight);
}

/* Jobs of which it has closed a dependency, and which wait on; under dependents_lock */
static void
commit_children(void)
{
	for (int i = 0; i < pending.nchildren; i++)
	{
		StampCell  *cell = stamp_cell(pending.children[i]);

		if (cell->closed > pending.start)
			dependents_tell(pending.children[i], true);
		cell->closed = next_stamp();
	}
}

/* Look for transactions that have published the jobs that have ended */
static void
commit_ends(void)
{
	DatabaseSlot *slot = dependents_slot();
	uint32		flight;

	/* counters that were made anew meanwhile may have been found too low */
	if (slot != NULL && slot->dependents_generation != pending.generation)
		pending.ntold = DEPENDENTS_TOLD + 1;
	pg_memory_barrier();		/* the commit is visible before that look */
	flight = pg_atomic_read_u32(&dependents->flight);
	pg_read_barrier();
	if (flight == 0 && pg_atomic_read_u64(&dependents->published) <= pending.start)
		return;
	LWLockAcquire(shared->dependents_lock, LW_EXCLUSIVE);
	if (pending.nended > MAX_ENDED)
	{
		dependents->ended_all = next_stamp();
		if (pg_atomic_read_u64(&dependents->published) > pending.start)
			pending.ntold = DEPENDENTS_TOLD + 1;
	}
	else
	{
		for (int i = 0; i < pending.nended; i++)
		{
			StampCell  *cell = stamp_cell(pending.ended[i]);

			if (cell->published > pending.start)
				dependents_tell(pending.ended[i], false);
			if (cell->flight > 0)
				cell->ended = next_stamp();
		}
	}
	LWLockRelease(shared->dependents_lock);
}

static void
commit_pending(void)
{
	if (pending.nnotes > 0 || pending.nchildren > 0)
	{
		DatabaseSlot *slot = dependents_slot();

		LWLockAcquire(shared->dependents_lock, LW_EXCLUSIVE);
		for (int i = 0; i < pending.nnotes; i++)
			commit_note(&pending.notes[i], slot);
		commit_children();
		LWLockRelease(shared->dependents_lock);
	}
	if (pending.nended > 0)
		commit_ends();
	if (pending.ntold > 0)
		dependents_tell_scheduler(pending.told, pending.ntold);
}

/*
 * The session that commits a prepared transaction has the scheduler look at all
 * (lifecycle/database_ddl.c): nothing is in flight until then, and what it has
 * opened stays counted.
 */
static void
prepare_pending(void)
{
	DatabaseSlot *slot = dependents_slot();

	for (int i = 0; i < pending.nnotes && slot != NULL; i++)
		pg_atomic_fetch_add_u32(dependents_counter(slot, pending.notes[i].id),
								pending.notes[i].opened);
	undo_notes(0);
}

static void
dependents_xact_callback(XactEvent event)
{
	if (!pending.any)
		return;
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (shared != NULL)
				commit_pending();
			pending.any = false;
			break;
		case XACT_EVENT_ABORT:
			if (shared != NULL)
				undo_notes(0);
			pending.any = false;
			break;
		case XACT_EVENT_PREPARE:
			if (shared != NULL)
				prepare_pending();
			pending.any = false;
			break;
		default:
			break;
	}
}

/* Numbers of subtransactions grow: those of its own ones are larger */
static void
dependents_subxact_callback(SubXactEvent event)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	int			first = pending.nnotes;

	if (event != SUBXACT_EVENT_ABORT_SUB || !pending.any || shared == NULL)
		return;
	while (first > 0 && pending.notes[first - 1].subid >= subid)
		first--;
	undo_notes(first);
	pending.first_note = Min(pending.first_note, pending.nnotes);
}

void
dependents_init(void)
{
	defer_on_xact_event(dependents_xact_callback);
	defer_on_subxact_event(dependents_subxact_callback);
}
