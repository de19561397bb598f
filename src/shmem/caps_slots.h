/*
 * caps_slots.h
 *		The slots of caps: shmem/caps_slots.c, for shmem/caps.c and shmem/caps_xact.c.  All
 *		is under caps_lock, but atomics.
 */
#ifndef DEFER_CAPS_SLOTS_H
#define DEFER_CAPS_SLOTS_H

#include "postgres.h"

#include "lib/ilist.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"

#include "shmem/caps.h"

typedef enum CapPhase
{
	CAP_UNKNOWN,				/* not counted; nothing is taken under it */
	CAP_CUT,					/* a session counts, and has no snapshot yet */
	CAP_COUNTING,				/* it has; ends of jobs that are noted from
								 * now on are subtracted */
	CAP_KNOWN
} CapPhase;

/* The caps of one role: what they take of the slots */
typedef struct CapRole
{
	Oid			owner;			/* key */
	int			nscopes;
	int			ngroups;
	dlist_head	scopes;			/* of CapScope; counted last comes first */
} CapRole;

typedef struct CapScope
{
	int64		cap;			/* key: its number */
	Oid			database;
	CapRole    *role;
	dlist_node	of_role;
	CapPhase	phase;
	uint32		counting;		/* the number of the count; 0: none */
	bool		doubtful;		/* it may be too high */
	bool		negative;		/* while it was counted a group was below 0 */
	bool		overflowed;		/* groups without a slot are in "rest" */
	int32		count;
	int32		rest;			/* of it: jobs of groups without a slot */
	int			ngroups;
	dlist_head	groups;			/* of CapGroup */
	int64		refused;
	int64		counted_at;		/* monotonic */
	int64		may_count_at;	/* not again before */
} CapScope;

/* A group that has jobs */
typedef struct CapGroup
{
	int64		cap;			/* these two: key */
	int64		group;
	int32		count;
	dlist_node	of_scope;
} CapGroup;

/* Databases share the cells by their OID */
#define CAP_CELLS		64

typedef struct CapCell
{
	pg_atomic_uint32 generation;	/* grows when one is set, or is counted
									 * first */
	pg_atomic_uint32 scopes;
} CapCell;

typedef struct Caps
{
	uint32		counting;		/* number of the last count */
	ConditionVariable counted;	/* a count has ended, or was given up */
	CapCell		cells[CAP_CELLS];
} Caps;

extern Caps *caps;				/* NULL: there is no shared memory */

extern CapScope *caps_find(int64 cap);

/* A slot for a cap that has none, and a new generation; NULL: all are being counted */
extern CapScope *caps_make_scope(const CapNeed *need);

/* Take the count back; the slot stays */
extern void caps_forget(CapScope *scope);
extern void caps_free_empty_groups(CapScope *scope);

/* Call it for each cap of this database */
extern void caps_each(void (*change) (CapScope *scope));

/* Add to the count of a cap, and of a group under it if that is not 0 */
extern void caps_add(CapScope *scope, int64 group, int32 n);

/* What the count of a cap, or of a group under it, is for one more job */
extern int32 caps_count(const CapScope *scope, int64 group, bool *together);

/* shmem/caps_xact.c: jobs under it, or under a group, that this transaction has ended */
extern int32 caps_ended_here(const CapScope *scope, int64 group);

/* Note places that were taken; room is made before the lock is taken */
extern void caps_note_room(int n);
extern void caps_note_taken(const CapNeed *need, uint32 counting);

/* Name the cap that this session counts, so that a rollback gives it up */
extern void caps_note_load(int64 cap, uint32 counting); /* 0: none */
extern void caps_load_failed(int64 cap, uint32 counting);

#endif							/* DEFER_CAPS_SLOTS_H */
