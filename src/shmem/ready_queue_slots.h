/*
 * ready_queue_slots.h
 *		The slots of ready queues and limits in shared memory, for the files of
 *		this folder that work on them: ready_database.c, ready_queue.c, ready_room.c,
 *		ready_place.c, ready_list.c, ready_choose.c, ready_claim.c, fair_queue.c, fair_charge.c,
 *		limits.c, limits_capacity.c, limits_values.c, rates.c, rates_values.c.
 *
 * All of it is under ready_lock.  Slots are hash entries, which stay where they
 * are, and processes have shared memory at the same address: so slots may point
 * at each other.
 *
 *		ReadyDatabase	one for each database that is served
 *		  ReadyRole		the roles with queues, in a list
 *			ReadyBundle	their queues of one priority under the same limits of
 *						function, queue and endpoint, in a list
 *			  ReadyQueue	one for each group, and one for jobs without
 *				LimitSlot	limits of the group: at most two
 *			  LimitSlot	limits of function, queue and endpoint: at most three
 *			FairQueue	their fair queues, in a list: see fair_queue.h
 *			  FairAccount	one for each group, of the ready queues of that
 */
#ifndef DEFER_READY_QUEUE_SLOTS_H
#define DEFER_READY_QUEUE_SLOTS_H

#include "postgres.h"

#include "lib/ilist.h"
#include "lib/pairingheap.h"
#include "utils/hsearch.h"

#include "base/guc.h"
#include "pure/rate.h"
#include "base/limits_key.h"
#include "pure/virtual_time.h"
#include "shmem/fair_queue.h"
#include "shmem/limits.h"
#include "shmem/ready_queue.h"
#include "shmem/shmem.h"
#include "shmem/workers.h"

/* Most queues of one role, if no other role wants the slots: see make_room() */
#define READY_QUEUES_OF_ROLE	(defer_shared_slots / 2)

/* Most bundles of one role: a claim walks them all */
#define READY_BUNDLES_OF_ROLE	Min(READY_QUEUES_OF_ROLE, 1024)

/* All rows that a claim met were locked: leave the queue alone for so long (microseconds) */
#define READY_RETRY_DELAY	(50 * 1000)

/* A function has a limit, a queue and an endpoint have; so have groups of the first two */
#define LIMITS_OF_KEY	3
#define LIMITS_WITH_GROUPS	2

/* Roles have turns when limits are read; roles of the same remainder have one together */
#define LIMIT_TURNS		16

/* No padding */
typedef struct LimitTag
{
	int64		group;			/* hash of the group's name; 0: the function
								 * or queue itself */
	Oid			database;
	int32		id;				/* of the row in defer.function, defer.queue
								 * or defer.endpoint */
	int32		kind;			/* 'f', 'q' or 'e' */
	int32		unused;			/* 0 */
} LimitTag;

/*
 * Under ready_lock.  "running" counts places: the batches of workers, the group's
 * part of a batch, or deliveries.
 */
typedef struct LimitSlot
{
	LimitTag	tag;			/* hash key */
	Oid			owner;			/* the role that has needed it first */
	int32		running;
	int32		choosing;		/* of them: claims that may still take nothing */
	int32		nusers;			/* bundles, or queues of a group, that point
								 * here */
	int32		limit;			/* how many may run, or LIMIT_... */
	int32		group_limit;	/* of a function or queue: the same for each
								 * group that inherits it */
	bool		group_overrides;	/* some groups do not */
	bool		strict;			/* of a function or queue: one job of each
								 * group at a time, the first of its order */
	uint32		order_changes;	/* of a group: how often that first job may
								 * have become another */
	float4		weight;			/* of a group; 0: none was set */
	bool		cancel;			/* jobs without capacity are cancelled */
	bool		stale;			/* in its database's list of those to be read */
	bool		unused;			/* in the list of slots that may be given away */
	bool		fresh;			/* "used" is to be set when the value is
								 * loaded */
	Rate		rate;			/* its interval may be RATE_... */
	Rate		group_rate;		/* of a function or queue: of each group */
	int64		used;			/* tokens that were taken: see pure/rate.h */
	int64		lost;			/* of a function or queue: slots of its groups
								 * were given away until then */
	int32		planned;		/* jobs that claims under way may take; these:
								 * if one of their limits has a rate */
	int32		waiting;		/* jobs that were claimed and have no token
								 * yet */
	dlist_head	blocked;		/* of ReadyQueue: no capacity here, or no
								 * token */
	dlist_node	stale_node;
	dlist_node	unused_node;
} LimitSlot;

static inline LimitTag
limit_tag(Oid database, char kind, int32 id, int64 group)
{
	LimitTag	tag = {group, database, id, kind, 0};

	return tag;
}

/* The tags of the limits of function, queue and endpoint, or of the group under them; id 0: none */
static inline void
limit_tags(Oid database, const LimitScopes *scopes, bool of_group, LimitTag *tags)
{
	const int64 group = of_group ? scopes->group : 0;
	const bool	none = of_group && group == 0;

	tags[0] = limit_tag(database, 'f', none ? 0 : scopes->function_id, group);
	tags[1] = limit_tag(database, 'q', none ? 0 : scopes->queue_id, group);
	tags[2] = limit_tag(database, 'e', of_group ? 0 : scopes->endpoint_id, 0);
}

/* Instead of an interval: it is to be read; as for each group of the function or queue */
#define RATE_UNKNOWN	(-1)
#define RATE_INHERITED	(-2)

/* The limit of a group, whose function or queue has the slot "parent" */
static inline int32
limit_of_group(const LimitSlot *slot, const LimitSlot *parent)
{
	const int32 limit = slot->limit != LIMIT_INHERITED ? slot->limit :
		parent->limit == LIMIT_UNKNOWN ? LIMIT_UNKNOWN : parent->group_limit;

	return parent->strict && (limit > 1 || limit == LIMIT_NONE) ? 1 : limit;
}

typedef struct ReadyDatabase
{
	Oid			database;		/* InvalidOid: the entry is free */
	TimestampTz unlisted_at;	/* first due time of roles that have no slot */
	int64		opened_at;		/* monotonic time: tokens taken before are not
								 * known */
	int			nroles;
	dlist_head	roles;			/* of ReadyRole */
	dlist_head	stale_limits[LIMIT_TURNS];	/* of LimitSlot, by the role: to
											 * be read by the scheduler */
	uint32		next_turn;		/* of these lists */
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
	dlist_head	bundles;		/* of ReadyBundle */
	dlist_head	parked;			/* of ReadyQueue: LATER or BLOCKED, the
								 * longest first */
	int			nbundles;
	int			nqueues;
	int			nlater;			/* queues that are LATER */
	int			nfair;
	dlist_head	fair_queues;	/* of FairQueue */
	int			nidle;			/* idle accounts of these */
	TimestampTz unlisted_at;	/* first due time of its queues without a slot */
} ReadyRole;

typedef struct ReadyBundleTag
{
	Oid			database;
	Oid			owner;
	int64		kinds;			/* of the keys: LIMITS_KEY_KINDS */
	int32		function_id;
	int32		queue_id;
	int32		endpoint_id;
	int32		priority;
} ReadyBundleTag;

typedef struct ReadyBundle
{
	ReadyBundleTag tag;			/* hash key */
	ReadyRole  *role;
	dlist_node	node;			/* in role->bundles */
	LimitSlot  *limits[LIMITS_OF_KEY];	/* of function, queue and endpoint;
										 * NULL: none */
	dlist_head	queues;			/* of ReadyQueue; the last claimed at the end */
	int			nqueues;
	pairingheap_node *ready;	/* READY queues: the account that was served
								 * least first, then the smallest min_key */
	pairingheap_node *later;	/* LATER queues, the first due first */
	int64		nready;			/* jobs in READY queues: an estimate */
	bool		full;			/* its function or queue had no capacity when
								 * a claim looked last */
	double		floor;			/* virtual time when they had again: accounts
								 * were served up to that */
} ReadyBundle;

/* No padding */
typedef struct FairQueueTag
{
	Oid			database;
	Oid			owner;
	int64		kinds;			/* as in ReadyBundleTag */
	int32		queue_id;
	int32		priority;
} FairQueueTag;

typedef struct FairAccountTag
{
	FairQueueTag queue;
	int64		group;			/* hash of its name; 0: jobs without */
} FairAccountTag;

/* What was used in a minute and in the one before */
typedef struct FairMinute
{
	int64		minute;			/* of the monotonic clock */
	double		now;			/* microseconds */
	double		before;
} FairMinute;

typedef struct FairQueue
{
	FairQueueTag tag;			/* hash key */
	ReadyRole  *role;
	dlist_node	node;			/* in role->fair_queues */
	dlist_head	accounts;		/* of FairAccount */
	dlist_head	idle;			/* of these: without ready queue and charge */
	int			naccounts;
	int			nqueues;		/* ready queues of the accounts */
	int			nready;			/* accounts with a READY queue */
	int			ncharges;		/* of the accounts */
	double		virtual_time;
	double		mean;			/* microseconds that a job takes */
	FairMinute	minute;
} FairQueue;

typedef struct FairAccount
{
	FairAccountTag tag;			/* hash key */
	FairQueue  *queue;
	dlist_node	node;			/* in queue->accounts */
	dlist_head	queues;			/* of ReadyQueue */
	dlist_head	runs;			/* of FairRun: parts of batches that run */
	int			nqueues;
	int			nready;			/* of the queues; READY */
	int			ncharges;		/* held by claims, batches and runs */
	bool		idle;
	dlist_node	idle_node;		/* in queue->idle */
	VirtualAccount virtual;
	double		mean;			/* microseconds that a job takes */
	FairMinute	minute;
} FairAccount;

typedef struct ReadyQueueTag
{
	Oid			database;
	Oid			owner;
	int64		limits_key;
	int32		priority;
	int32		unused;			/* 0 */
} ReadyQueueTag;

/* Where a queue stands; ready_place.c keeps it right */
typedef enum ReadyPlace
{
	PLACE_NONE,					/* nowhere: it is empty */
	PLACE_READY,				/* in bundle->ready */
	PLACE_LATER,				/* in bundle->later */
	PLACE_BLOCKED				/* in the "blocked" of a limit of its group;
								 * one that is LATER for a token is, too */
} ReadyPlace;

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
	int64		group;			/* hash of the group's name; 0: jobs without */
	ReadyBundle *bundle;
	dlist_node	node;			/* in bundle->queues */
	LimitSlot  *groups[LIMITS_OF_KEY];	/* limits of the group under the
										 * bundle's limits; NULL: none */
	FairAccount *account;		/* NULL: no job of the role has a group */
	dlist_node	account_node;	/* in account->queues */
	ReadyKey	min_key;
	int32		nclaims;		/* claims that have chosen it and have not
								 * ended */
	ReadyKey	scan_min;		/* lowest key added since the last scan began */
	int64		ready;			/* jobs added less jobs taken: an estimate */
	TimestampTz retry_at;		/* a claim met only locked rows: not before
								 * then */
	bool		behind;			/* a claim found that the first job in the
								 * order of the group is not to be had here */
	uint32		behind_changes; /* these: "order_changes" before it looked */
	int64		behind_order;	/* the place of that job in the order */
	TimestampTz behind_until;	/* it is due then; DT_NOEND: not known */
	ReadyPlace	place;
	bool		blocked;		/* in the "blocked" of a limit */
	TimestampTz due;			/* in bundle->later: its key there */
	pairingheap_node heap_node;
	dlist_node	blocked_node;
	dlist_node	parked_node;
} ReadyQueue;

/* ready_database.c */
extern Size ready_databases_shmem_size(void);
extern void ready_databases_shmem_init(void);
extern ReadyDatabase *ready_database(Oid database); /* NULL: it is not served */

/* ready_queue.c */
extern ReadyRole *ready_role(Oid database, Oid owner);	/* NULL: it has no slot */
extern HTAB *ready_roles(void);
extern bool ready_queues_full(void);	/* no slot is free */
extern ReadyQueue *ready_queue_slot(const ReadyQueueChoice *queue, Oid database);
extern void ready_queue_free(ReadyQueue *slot);
extern void ready_queue_release(ReadyQueue *slot);	/* free it, if it is empty
													 * and unused */
extern void ready_role_free(ReadyRole *role);
extern void ready_role_release(ReadyRole *role);	/* free it, if it is empty */

/* ready_room.c */
extern bool ready_room_for_queue(ReadyRole *role, const ReadyQueueChoice *queue, bool needs_bundle,
								 TimestampTz now, Oid *evicted);
extern bool ready_room_for_role(TimestampTz now);

/*
 * ready_place.c: put a queue where it belongs by its minimum key and limits; or
 * nowhere.  Take those out of bundle->later that are due.  Put those where they
 * belong that a limit has blocked and does not any more; returns if there are any.  After
 * a claim: note what it has found out about the order of the group, and the first.
 */
extern void ready_place(ReadyQueue *slot, TimestampTz now);
extern void ready_place_claimed(ReadyQueue *slot, const ReadyQueueChoice *chosen, TimestampTz now);
extern void ready_displace(ReadyQueue *slot);
extern void ready_place_due(ReadyBundle *bundle, TimestampTz now);
extern bool ready_place_blocked(LimitSlot *limit);
extern void ready_set_count(ReadyQueue *slot, int64 ready);

/*
 * ready_place.c: the first of bundle->ready that is not blocked; NULL: there is none.  Lowers
 * *next_check to when one that has no token has.  The tag of an account moves.
 */
extern ReadyQueue *ready_first(ReadyBundle *bundle, TimestampTz now, int64 clock,
							   TimestampTz *next_check);
extern void ready_move_account(FairAccount *account, const VirtualAccount *moved);

/* ready_choose.c: choose queues of a bundle for a claim.  The tag that a queue is chosen by */
extern void ready_choose(ReadyQueue *first, int max, TimestampTz now, int64 clock,
						 ReadyClaim *claim, TimestampTz *next_check);
extern double ready_fair_tag(const ReadyQueue *slot);

/*
 * fair_queue.c: put a ready queue under the account of its group, if its role has jobs
 * of groups; false: there is no slot for one.  Take it out.  Free all of a role.
 */
extern Size fair_queues_shmem_size(void);
extern void fair_queues_shmem_init(void);
extern bool fair_attach(ReadyQueue *slot);
extern void fair_detach(ReadyQueue *slot);
extern void fair_forget(ReadyRole *role);
extern bool fair_has_charges(const ReadyRole *role);

/* fair_queue.c: for fair_charge.c */
extern FairQueueTag fair_queue_tag(Oid database, Oid owner, int64 kinds, int32 queue_id,
								   int32 priority);
extern FairAccount *fair_account(const FairQueueTag *queue, int64 group);	/* NULL: none */
extern void fair_set_idle(FairAccount *account, bool idle);
extern void fair_free_idle(FairQueue *queue);
extern void fair_release(FairAccount *account); /* free what is not needed */

/*
 * fair_charge.c.  A ready queue of the account comes to READY, or leaves.  Charge what
 * jobs use that run longer than expected; returns whether any does.  How many jobs of a
 * queue a claim may take.  Charge what is chosen, and more of it; correct that after the claim.
 */
extern void fair_ready(FairAccount *account, bool ready);
extern void fair_come(FairAccount *account);
extern bool fair_charge_on(FairAccount *account, int64 clock);
extern int	fair_quantum(const ReadyQueue *slot, int max);
extern void fair_choose(ReadyQueue *slot, ReadyQueueChoice *chosen);
extern void fair_choose_more(ReadyQueue *slot, ReadyQueueChoice *chosen, int jobs);
extern void fair_chosen(ReadyQueueChoice *chosen, Oid database, bool committed);

/*
 * ready_place.c: when a queue can be claimed that waits for a token; when a bundle can
 * whose limits have none.  DT_NOEND: it waits for nothing, or not for that.
 */
extern TimestampTz ready_queue_opening(const ReadyQueue *slot);
extern TimestampTz ready_bundle_opening(const ReadyBundle *bundle);

/* The limit of a group whose jobs run in order, of these limits of its; NULL: they do not */
static inline LimitSlot *
limit_of_order(LimitSlot *const *limits, LimitSlot *const *groups)
{
	/* as settings_limits() has it: the queue's before the function's */
	if (limits[1] != NULL && limits[1]->strict)
		return groups[1];
	return limits[0] != NULL && limits[0]->strict ? groups[0] : NULL;
}

static inline LimitScopes
ready_queue_scopes(const ReadyQueue *slot)
{
	LimitScopes scopes = {slot->group, slot->bundle->tag.function_id,
		slot->bundle->tag.queue_id, slot->bundle->tag.endpoint_id};

	return scopes;
}

static inline void
ready_queue_copy(const ReadyQueue *slot, ReadyQueueChoice *copy)
{
	const LimitSlot *order = limit_of_order(slot->bundle->limits, slot->groups);

	copy->owner = slot->tag.owner;
	copy->limits_key = slot->tag.limits_key;
	copy->priority = slot->tag.priority;
	copy->scopes = ready_queue_scopes(slot);
	copy->looked_up = true;
	copy->min_key = slot->min_key;
	copy->ready = slot->ready;
	copy->first_order = 0;
	copy->order_changes = order != NULL ? order->order_changes : 0;
	copy->behind = false;
}

/* limits.c */
extern Size limits_shmem_size(void);
extern void limits_shmem_init(void);
extern HTAB *limits_table(void);
extern LimitSlot *limit_slot(Oid database, char kind, int32 id, int64 group);	/* NULL: none */
extern void limit_set_stale(LimitSlot *slot, ReadyDatabase *database);
extern void limit_clear_stale(LimitSlot *slot);
extern void limits_forget_locked(ReadyDatabase *database);

/* limits.c: LIMITS_OF_KEY limits; false: there are no slots for them */
extern bool limits_attach(ReadyDatabase *database, Oid owner, const LimitScopes *scopes,
						  LimitSlot **limits);
extern bool limits_attach_groups(ReadyDatabase *database, Oid owner, LimitSlot *const *limits,
								 int64 group, LimitSlot **groups);
extern void limits_detach(LimitSlot **limits);

/*
 * limits.c: capacity.  limits_first_full(): the first limit of a group that has
 * none, NULL: all have.  Taking and giving back places: of function, queue and endpoint,
 * or of their groups; true if another process may have waited for one.
 */
extern bool limits_are_known(LimitSlot *const *limits);
extern bool limits_have_capacity_locked(LimitSlot *const *limits);
extern LimitSlot *limits_first_full(LimitSlot *const *groups, LimitSlot *const *limits);
extern void limits_take(LimitSlot *const *limits, int choosing);
extern bool limits_give_back(Oid database, const LimitScopes *scopes, bool of_group, int choosing);
extern void limits_chosen(Oid database, const LimitScopes *scopes, bool of_group);

/* limits_capacity.c: see limits_may_cancel(), limits_cancel_at_limit() */
extern bool limits_cancel(LimitSlot *const *limits, LimitSlot *const *groups, bool only_at_limit);

/* limits_values.c */
extern void limits_reload_locked(ReadyDatabase *database);

/* limits_capacity.c: the slots of all limits of a job; false: one has none */
extern bool limits_find(Oid database, const LimitScopes *scopes, LimitSlot **limits,
						LimitSlot **groups);

#endif							/* DEFER_READY_QUEUE_SLOTS_H */
