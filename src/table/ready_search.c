/*
 * ready_search.c
 *		Finding the ready queues that have no slot in shared memory.
 *
 * A role may have more ready queues than there are slots for: jobs of thousands
 * of priorities, or under thousands of limits.  Then the scheduler walks through
 * the role's part of the claim index when one of its jobs is due, and gives a
 * slot to each queue that is better than the worst that has one.
 *
 * That takes time for each queue, so it is done piece by piece, all such roles
 * in turns, with a pause after each piece and a longer one before a role is
 * searched again: it costs those roles time and no other role.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "base/own_transaction.h"
#include "base/timer.h"
#include "shmem/ready_queue.h"
#include "table/ready_scan.h"
#include "table/ready_search.h"

/* Queues of a role that are told of at first */
#define FIRST_OF_ROLE		64

/* Queues in one piece, of all roles together, and of one at least */
#define PIECE_ALL			256
#define PIECE_LEAST			16

/* From one piece to the next, and from a search of a role to its next (microseconds) */
#define PIECE_PAUSE			(10 * 1000)
#define SEARCH_PAUSE		(100 * 1000)

/* No role's searches take more than one part in so many of the time */
#define SEARCH_SHARE		10

/* A search that goes on, or may not begin again yet */
typedef struct Search
{
	Oid			owner;			/* InvalidOid: of roles without a slot */
	bool		active;
	ReadyCursor cursor;
	int64		took;			/* microseconds, up to now */
	int64		not_before;		/* monotonic time of the next one */
} Search;

/* In TopMemoryContext: a search goes on after an error */
static List *searches = NIL;

void
ready_search_all(TimestampTz now, ReadySetScopes set_scopes)
{
	ReadyCursor cursor;

	ready_cursor_begin(&cursor, InvalidOid);
	(void) ready_scan_queues(&cursor, false, PG_INT32_MAX, FIRST_OF_ROLE, set_scopes, now);
}

static Search *
search_of(Oid owner)
{
	ListCell   *cell;
	Search	   *search;
	MemoryContext context;

	foreach(cell, searches)
	{
		search = lfirst(cell);
		if (search->owner == owner)
			return search;
	}
	context = MemoryContextSwitchTo(TopMemoryContext);
	search = palloc0(sizeof(Search));
	search->owner = owner;
	searches = lappend(searches, search);
	MemoryContextSwitchTo(context);
	return search;
}

/* Begin the searches that are due; lowers *next to when others are */
static int
begin_searches(TimestampTz now, TimestampTz *next)
{
	const int64 clock = monotonic_now();
	Oid		   *owners;
	int			n = ready_roles_unlisted(MyDatabaseId, now, &owners, next);
	int			active = 0;
	ListCell   *cell;

	for (int i = 0; i < n; i++)
	{
		Search	   *search = search_of(owners[i]);

		if (search->active)
			continue;
		if (search->not_before > clock)
		{
			*next = Min(*next, now + search->not_before - clock);
			continue;
		}
		search->active = true;
		search->took = 0;
		ready_cursor_begin(&search->cursor, search->owner);
		ready_role_search_begin(MyDatabaseId, search->owner);
	}
	foreach(cell, searches)
	{
		Search	   *search = lfirst(cell);

		if (search->active)
			active++;
		else if (search->not_before <= clock)
		{
			searches = foreach_delete_current(searches, cell);
			pfree(search);
		}
	}
	pfree(owners);
	return active;
}

static void
search_piece(Search *search, int max, ReadySetScopes set_scopes, TimestampTz now)
{
	const int64 began = monotonic_now();
	ReadyCursor cursor = search->cursor;
	bool		one_role = OidIsValid(search->owner);
	bool		at_end = ready_scan_queues(&cursor, one_role, max,
										   one_role ? max : FIRST_OF_ROLE, set_scopes, now);

	search->cursor = cursor;
	search->took += monotonic_now() - began;
	if (!at_end)
		return;
	search->active = false;
	search->not_before = monotonic_now() + Max(SEARCH_PAUSE, search->took * (SEARCH_SHARE - 1));
	ready_role_search_end(MyDatabaseId, search->owner);
}

TimestampTz
ready_search(TimestampTz now, ReadySetScopes set_scopes)
{
	TimestampTz next = DT_NOEND;
	int			active = begin_searches(now, &next);
	ListCell   *cell;
	bool		all = true;

	if (active == 0)
		return next;
	own_transaction_begin();
	foreach(cell, searches)
	{
		Search	   *search = lfirst(cell);

		if (search->active)
			search_piece(search, Max(PIECE_ALL / active, PIECE_LEAST), set_scopes, now);
		all = all && !search->active;
	}
	own_transaction_end();
	/* what was found has to be claimed first, or roles would look on in vain */
	return Min(next, now + (all ? SEARCH_PAUSE : PIECE_PAUSE));
}
