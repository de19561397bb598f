/*
 * caps.h
 *		How many unfinished jobs there are under each max_queued, in shared memory:
 *		shmem/caps.c.
 *
 * A cap is what the settings of one function or queue say: max_queued, group_max_queued.
 * It has a number, made anew when one of the two is set that was not.  Its count is never
 * too low: it has all jobs that are committed and unfinished, and those of transactions
 * that have not ended.
 */
#ifndef DEFER_CAPS_H
#define DEFER_CAPS_H

#include "postgres.h"

#include "utils/snapshot.h"

/* A job is under that of its function and that of its queue */
#define CAPS_OF_JOB		2

/* A cap that a job is under */
typedef struct CapNeed
{
	int64		cap;			/* its number */
	Oid			owner;			/* of the function or queue */
	int32		max;			/* -1: none */
	int32		group_max;		/* -1: none */
	int64		group;			/* limits_group_hash(); 0: in no group, or
								 * these have no limit */
} CapNeed;

typedef enum CapTaken
{
	CAP_TAKEN,
	CAP_FULL,
	CAP_UNCOUNTED				/* it has to be counted before */
} CapTaken;

/* What kept a job out */
typedef struct CapDenial
{
	int			need;			/* which of the caps */
	bool		of_group;		/* its group_max; else its max */
	bool		together;		/* with other groups, for want of memory */
	bool		may_recount;	/* it may be counted too high: see
								 * caps_load_begin() */
} CapDenial;

/* What monitoring shows */
typedef struct CapState
{
	bool		counted;
	int32		count;
	int64		refused;		/* enqueues, since it was counted first */
	int32		together;		/* jobs of groups that have no slot */
} CapState;

extern Size caps_shmem_size(void);
extern void caps_shmem_init(void);	/* under AddinShmemInitLock */
extern void caps_init(void);	/* in _PG_init */

/*
 * Grows when a cap of this database is set, or counted first: settings that were read
 * before may not have it.
 */
extern uint32 caps_generation(void);
extern void caps_changed(void);

/* Check for caps in this database that are counted */
extern bool caps_in_use(void);

/*
 * Check for a place under all of these caps, before the job's row is inserted; *count: the
 * number of the last count that has begun until then.
 */
extern CapTaken caps_look(const CapNeed *needs, int n, CapDenial *denial, uint32 *count);

/*
 * Take one, after that; "must": also if they are full.  count: as of before, 0: not known.
 * The place is given back if the (sub)transaction is rolled back.
 */
extern CapTaken caps_take(const CapNeed *needs, int n, bool must, uint32 count,
						  CapDenial *denial);

/* An enqueue is refused, for monitoring */
extern void caps_refuse(const CapNeed *need);

/* Give a place back at commit: a job has ended in this transaction */
extern void caps_give(const CapNeed *need);

/*
 * Note that this transaction inserts or ends a job, with the caps that settings of that
 * caps_generation() say.
 */
extern void caps_note_job(uint32 generation);

/* Note a cap that this transaction makes: it holds from its commit on */
extern void caps_made(int64 cap);
extern bool caps_made_here(int64 cap);

/*
 * Counting.  Begin returns the number of the count, 0 if none is needed; else a snapshot is
 * to be taken, caps_load_cut() called after that, and each job that the snapshot sees, or
 * which is inserted by a transaction that it sees in progress, added.  "again": though it
 * was counted before.  Waits, interruptibly, for another session that is at it.  A rollback
 * gives it up.
 */
extern uint32 caps_load_begin(const CapNeed *need, bool again);
extern void caps_load_cut(int64 cap, uint32 count);
extern void caps_load_add(int64 cap, uint32 count, int64 group, int32 n);
extern void caps_load_end(int64 cap, uint32 count, int64 duration); /* microseconds */

/* Counts of this database may be too high, or are of no use */
extern void caps_doubt_all(void);
extern void caps_forget_all(void);

extern void caps_state(int64 cap, CapState *state);

#endif							/* DEFER_CAPS_H */
