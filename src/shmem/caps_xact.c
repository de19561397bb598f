/*
 * caps_xact.c
 *		What a transaction has done to counts under max_queued: see caps.h.
 *
 * Places that it has taken are given back by a rollback, of it or of a subtransaction;
 * those of jobs that it has ended, at its commit.  A note has the number of the count that
 * it was made under: if there is another one by then, the jobs were counted anew meanwhile,
 * and it is not known whether with or without it.  Then nothing is subtracted, and the count
 * is doubtful.  So are all, if one was counted first since the transaction's first job: that
 * may have been under it, and the transaction did not know.
 */
#include "postgres.h"

#include "access/xact.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"

#include "base/callbacks.h"
#include "shmem/caps.h"
#include "shmem/caps_slots.h"
#include "shmem/shmem.h"

/* Notes that one may be added to, of the last ones: of a job's caps */
#define MERGE_LOOKS		CAPS_OF_JOB

typedef struct CapNote
{
	int64		cap;
	int64		group;			/* 0: it is of none that has a limit */
	uint32		counting;		/* 0: it was not counted then */
	SubTransactionId subid;
	int32		taken;
	int32		ended;
} CapNote;

/* All of the current transaction; pointers are into TopTransactionContext */
static struct
{
	CapNote    *notes;
	int			n;
	int			size;
	uint32		generation;		/* of the first job; 0: none yet */
	int64	   *made;			/* caps */
	int			nmade;
	int			made_size;
	int64		loads;			/* the cap that is being counted; 0: none */
	uint32		loads_counting;
}			pending;

static void *
make_room(void *array, int needed, int *size, Size element)
{
	if (needed <= *size)
		return array;
	*size = Max(16, Max(needed, *size * 2));
	return array == NULL ? MemoryContextAlloc(TopTransactionContext, *size * element) :
		repalloc_huge(array, *size * element);
}

/* ------------------------------------------------------------------------
 * Notes
 * ------------------------------------------------------------------------ */

void
caps_note_room(int n)
{
	pending.notes = make_room(pending.notes, pending.n + n, &pending.size, sizeof(CapNote));
}

/* The note to add to; there is room for another one */
static CapNote *
note_of(int64 cap, int64 group, uint32 counting)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	CapNote    *note;

	for (int i = pending.n - 1; i >= 0 && i >= pending.n - MERGE_LOOKS; i--)
	{
		note = &pending.notes[i];
		if (note->cap == cap && note->group == group && note->counting == counting &&
			note->subid == subid)
			return note;
	}
	note = &pending.notes[pending.n++];
	*note = (CapNote) {.cap = cap, .group = group, .counting = counting, .subid = subid};
	return note;
}

void
caps_note_taken(const CapNeed *need, uint32 counting)
{
	note_of(need->cap, need->group, counting)->taken++;
}

void
caps_give(const CapNeed *need)
{
	CapScope   *scope;
	uint32		counting = 0;

	caps_note_room(1);
	LWLockAcquire(shared->caps_lock, LW_SHARED);
	scope = caps_find(need->cap);
	if (scope != NULL && (scope->phase == CAP_COUNTING || scope->phase == CAP_KNOWN))
		counting = scope->counting;
	LWLockRelease(shared->caps_lock);
	note_of(need->cap, need->group, counting)->ended++;
}

int32
caps_ended_here(const CapScope *scope, int64 group)
{
	int32		ended = 0;

	for (int i = 0; i < pending.n; i++)
	{
		const CapNote *note = &pending.notes[i];

		if (note->cap == scope->cap && note->counting == scope->counting &&
			(group == 0 || note->group == group))
			ended += note->ended;
	}
	return ended;
}

void
caps_note_job(uint32 generation)
{
	if (pending.generation == 0)
		pending.generation = generation;
}

void
caps_made(int64 cap)
{
	pending.made = make_room(pending.made, pending.nmade + 1, &pending.made_size, sizeof(int64));
	pending.made[pending.nmade++] = cap;
}

bool
caps_made_here(int64 cap)
{
	for (int i = 0; i < pending.nmade; i++)
	{
		if (pending.made[i] == cap)
			return true;
	}
	return false;
}

void
caps_note_load(int64 cap, uint32 counting)
{
	pending.loads = cap;
	pending.loads_counting = counting;
}

/* ------------------------------------------------------------------------
 * The end
 * ------------------------------------------------------------------------ */

static void
subtract(const CapNote *note, int32 n)
{
	CapScope   *scope;

	if (n == 0)
		return;
	scope = caps_find(note->cap);
	if (scope == NULL)
		return;
	if (scope->counting == note->counting)
		caps_add(scope, note->group, -n);
	else
		scope->doubtful = true;
}

/* Subtract what was taken, or has ended, by the notes from one on */
static void
settle_notes(int first, bool commit)
{
	if (first == pending.n)
		return;
	LWLockAcquire(shared->caps_lock, LW_EXCLUSIVE);
	for (int i = first; i < pending.n; i++)
		subtract(&pending.notes[i], commit ? pending.notes[i].ended : pending.notes[i].taken);
	LWLockRelease(shared->caps_lock);
	pending.n = first;
}

/* Jobs that were under no cap may be counted by now, and are rolled back or have ended */
static void
check_generation(void)
{
	if (pending.generation != 0 && pending.generation != caps_generation())
		caps_doubt_all();
}

static void
give_up_load(void)
{
	if (pending.loads != 0)
		caps_load_failed(pending.loads, pending.loads_counting);
	pending.loads = 0;
}

static void
check_prepare(void)
{
	for (int i = 0; i < pending.n; i++)
	{
		if (pending.notes[i].taken > 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that has enqueued jobs under \"max_queued\""),
					 errhint("Commit it, or take the limit off the function or queue.")));
	}
}

static void
caps_xact_callback(XactEvent event)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			check_prepare();
			return;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
			give_up_load();
			settle_notes(0, event == XACT_EVENT_COMMIT);
			check_generation();
			if (event == XACT_EVENT_COMMIT && pending.nmade > 0)
				caps_changed();
			break;
		case XACT_EVENT_PREPARE:
			break;				/* COMMIT PREPARED makes all doubtful */
		default:
			return;
	}
	if (pending.n > 0 || pending.size > 0 || pending.generation != 0 || pending.made_size > 0)
		memset(&pending, 0, sizeof(pending));
}

/* Numbers of subtransactions grow: those of its own ones are larger */
static void
caps_subxact_callback(SubXactEvent event)
{
	SubTransactionId subid;
	int			first = pending.n;

	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	give_up_load();
	check_generation();
	subid = GetCurrentSubTransactionId();
	while (first > 0 && pending.notes[first - 1].subid >= subid)
		first--;
	settle_notes(first, false);
}

void
caps_init(void)
{
	defer_on_xact_event(caps_xact_callback);
	defer_on_subxact_event(caps_subxact_callback);
}
