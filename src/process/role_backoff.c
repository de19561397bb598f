/*
 * role_backoff.c
 *		Roles whose workers cannot be started for a while.
 *
 * A role that may not log in, or not connect to the database, is looked at
 * again each OWNER_DELAY.  Where it may, and its workers could not connect all
 * the same (max_connections, a CONNECTION LIMIT), they are tried less and less
 * often, at least once a minute.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/own_transaction.h"
#include "process/process.h"
#include "process/role_backoff.h"

#define OWNER_DELAY		(10 * USECS_PER_SEC)

/* Nothing is put off for longer */
#define MAX_DELAY		USECS_PER_MINUTE
#define MAX_FAILURES	6

static List *backoffs = NIL;	/* in TopMemoryContext */

RoleBackoff *
role_backoff(Oid role, bool create)
{
	ListCell   *cell;
	RoleBackoff *backoff;
	MemoryContext context;

	foreach(cell, backoffs)
	{
		backoff = lfirst(cell);
		if (backoff->role == role)
			return backoff;
	}
	if (!create)
		return NULL;
	context = MemoryContextSwitchTo(TopMemoryContext);
	backoff = palloc0(sizeof(RoleBackoff));
	backoff->role = role;
	backoffs = lappend(backoffs, backoff);
	MemoryContextSwitchTo(context);
	return backoff;
}

void
role_backoff_connected(Oid role)
{
	RoleBackoff *backoff = role_backoff(role, false);

	if (backoff == NULL)
		return;
	backoff->failures = 0;
	backoff->not_before = 0;
	backoff->reported = OWNER_OK;
}

/* Returns the name of a role, or its OID if it is gone; in a transaction */
static char *
role_name(Oid role)
{
	char	   *name = GetUserNameFromId(role, true);

	return name != NULL ? name : psprintf("%u", role);
}

void
role_backoff_refused(Oid role, TimestampTz now)
{
	RoleBackoff *backoff = role_backoff(role, true);

	if (backoff->failures == 0)
	{
		own_transaction_begin();
		ereport(WARNING,
				(errmsg("a worker for role \"%s\" could not connect to database \"%s\"",
						role_name(role), scheduler_database_name()),
				 errdetail("The preceding log message of the worker process has the reason."),
				 errhint("The connection is retried at least once per minute.")));
		own_transaction_end();
	}
	backoff->failures = Min(backoff->failures + 1, MAX_FAILURES);
	backoff->not_before = now + (USECS_PER_SEC << (backoff->failures - 1));
}

bool
role_backoff_is_refused(Oid role)
{
	RoleBackoff *backoff = role_backoff(role, false);

	return backoff != NULL && backoff->failures > 0;
}

/* The role may not start workers; it may change again */
static void
report_not_permitted(RoleBackoff *backoff, OwnerState state, const char *name)
{
	if (backoff->reported == state)
		return;
	backoff->reported = state;
	ereport(WARNING,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 state == OWNER_NO_LOGIN ?
			 errmsg("role \"%s\" is not permitted to log in", name) :
			 errmsg("role \"%s\" is not permitted to connect to database \"%s\"",
					name, scheduler_database_name()),
			 errdetail("Its jobs wait."),
			 errhint("See defer.health.")));
}

bool
role_backoff_may_start(Oid role, char **name, OwnerState *state, TimestampTz now,
					   TimestampTz *next_check)
{
	MemoryContext context = CurrentMemoryContext;
	RoleBackoff *backoff = role_backoff(role, false);

	*state = OWNER_OK;
	if (backoff != NULL && backoff->not_before > now + MAX_DELAY)
		backoff->not_before = now;	/* the clock was set back */
	if (backoff != NULL && backoff->not_before > now)
	{
		*next_check = Min(*next_check, backoff->not_before);
		return false;
	}
	own_transaction_begin();
	*state = role_check_state(role);
	*name = MemoryContextStrdup(context, role_name(role));
	own_transaction_end();
	if (*state == OWNER_OK)
		return true;
	if (*state == OWNER_GONE || *state == OWNER_SUPERUSER)
		return false;
	backoff = role_backoff(role, true);
	backoff->not_before = now + OWNER_DELAY;
	*next_check = Min(*next_check, backoff->not_before);
	report_not_permitted(backoff, *state, *name);
	return false;
}
