/*
 * ready_queue_slots.h
 *		The slots of ready queues and limits in shared memory, for the files of
 *		this folder that work on them: ready_queue.c, ready_list.c, ready_scan.c,
 *		limits.c.
 *
 * All of it is under ready_lock.  Slots are hash entries, which stay where they
 * are, and processes have shared memory at the same address: so slots may point
 * at each other.
 *
 *		ReadyDatabase	one for each database that is served
 *		  ReadyRole		the roles with queues, in a list
 *			ReadyQueue	their queues, in a list
 *			  LimitSlot		the limits it is under, at most two
 */
#ifndef DEFER_READY_QUEUE_SLOTS_H
#define DEFER_READY_QUEUE_SLOTS_H

#include "postgres.h"

#include "lib/ilist.h"
#include "utils/hsearch.h"

#include "base/guc.h"
#include "shmem/limits.h"
#include "shmem/ready_queue.h"
#include "shmem/shmem.h"

/*
 * Most queues of one role, if no other role wants the slots: a claim walks them
 * all.  See make_room() for when one does.
 */
#define READY_QUEUES_OF_ROLE	Min(defer_shared_slots / 2, 1024)

/* A limits key has the limit of a function and that of a queue */
#define LIMITS_OF_KEY	2

/* No padding */
typedef struct LimitTag
{
	Oid			database;
	int32		id;				/* of the row in defer.function or defer.queue */
	int32		kind;			/* 'f' or 'q' */
} LimitTag;

/* Under ready_lock.  "running" counts the workers that hold a batch under it, and deliveries */
typedef struct LimitSlot
{
	LimitTag	tag;			/* hash key */
	int32		running;
	int32		choosing;		/* of them: claims that may still take nothing */
	int32		nqueues;		/* ready queues that point here */
	int32		limit;			/* how many may run, or LIMIT_... */
	bool		cancel;			/* jobs without capacity are cancelled */
	bool		stale;			/* in its database's list of those to be read */
	bool		unused;			/* in the list of slots that may be given away */
	dlist_node	stale_node;
	dlist_node	unused_node;
} LimitSlot;

typedef struct ReadyDatabase
{
	Oid			database;		/* InvalidOid: the entry is free */
	TimestampTz unlisted_at;	/* first due time of roles that have no slot */
	int			nroles;
	dlist_head	roles;			/* of ReadyRole */
	dlist_head	stale_limits;	/* of LimitSlot: to be read by the scheduler */
} ReadyDatabase;

/* No padding may differ in tags: zero them first */
typedef struct ReadyRoleTag
{
	Oid			database;
	Oid			owner;
} ReadyRoleTag;

typedef struct ReadyRole
{
	ReadyRoleTag tag;			/* hash key */
	ReadyDatabase *database;
	dlist_node	node;			/* in database->roles */
	dlist_head	queues;			/* of ReadyQueue */
	int			nqueues;
	TimestampTz unlisted_at;	/* first due time of its queues without a slot */
} ReadyRole;

typedef struct ReadyQueueTag
{
	Oid			database;
	Oid			owner;
	int64		limits_key;
	int32		priority;
	int32		unused;			/* 0 */
} ReadyQueueTag;

/*
 * Every free job that is committed and whose commit callback has run has a key
 * of "min_key" or higher.  Only a claim may raise it, and not over what others
 * lowered it to meanwhile ("scan_min"), nor over a row that it found locked.
 * It does so when it has read its rows, before it commits, so that the next
 * one begins behind them; if it cannot commit it takes that back.
 */
typedef struct ReadyQueue
{
	ReadyQueueTag tag;			/* hash key */
	ReadyRole  *role;
	dlist_node	node;			/* in role->queues */
	LimitSlot  *limits[LIMITS_OF_KEY];	/* NULL: none */
	ReadyKey	min_key;
	int32		nclaims;		/* claims that have chosen it and have not
								 * ended */
	ReadyKey	scan_min;		/* lowest key added since the last scan began */
	int64		ready;			/* jobs added less jobs taken: an estimate */
	TimestampTz retry_at;		/* a claim met only locked rows: not before
								 * then */
} ReadyQueue;

/* ready_queue.c */
extern ReadyDatabase *ready_database(Oid database); /* NULL: it is not served */
extern ReadyRole *ready_role(Oid database, Oid owner);	/* NULL: it has no slot */
extern ReadyQueue *ready_queue_slot(const ReadyQueueChoice *queue, Oid database);
extern void ready_queue_release(ReadyQueue *slot);	/* free it, if it is empty
													 * and unused */
extern void ready_role_release(ReadyRole *role);	/* likewise */

static inline void
ready_queue_copy(const ReadyQueue *slot, ReadyQueueChoice *copy)
{
	copy->owner = slot->tag.owner;
	copy->limits_key = slot->tag.limits_key;
	copy->priority = slot->tag.priority;
	copy->min_key = slot->min_key;
	copy->ready = slot->ready;
}

/* limits.c: LIMITS_OF_KEY limits of a limits_key */
extern Size limits_shmem_size(void);
extern void limits_shmem_init(void);
extern bool limits_attach(ReadyDatabase *database, int64 limits_key, LimitSlot **limits);
extern void limits_detach(LimitSlot **limits);
extern bool limits_are_known(LimitSlot *const *limits);
extern bool limits_have_capacity_locked(LimitSlot *const *limits);
extern void limits_add_locked(Oid database, int64 limits_key, int running, int choosing);
extern void limits_reload_locked(ReadyDatabase *database);
extern void limits_forget_locked(ReadyDatabase *database);

#endif							/* DEFER_READY_QUEUE_SLOTS_H */
