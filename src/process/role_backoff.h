/*
 * role_backoff.h
 *		What the scheduler remembers about roles whose workers cannot be started,
 *		or have to wait for a slot.
 */
#ifndef ROLE_BACKOFF_H
#define ROLE_BACKOFF_H

#include "base/role_check.h"
#include "datatype/timestamp.h"
#include "process/pool_policy.h"

typedef struct RoleBackoff
{
	Oid			role;
	int			failures;		/* workers in a row that could not connect */
	TimestampTz not_before;		/* of the next start */
	OwnerState	reported;		/* the reason that the server's log has */
	PolicyStarvation starvation;
} RoleBackoff;

/* Returns NULL if nothing is remembered; never if "create" */
extern RoleBackoff *role_backoff(Oid role, bool create);
extern void role_backoff_connected(Oid role);	/* a worker of it is */

/* A worker of the role could not connect; the server's log hears of the first */
extern void role_backoff_refused(Oid role, TimestampTz now);
extern bool role_backoff_is_refused(Oid role);

/*
 * Check whether a worker of that role may be started now.  Then *name is the
 * role's, in the current memory context.  If it never may *state says why; if
 * not now *next_check is lowered.
 */
extern bool role_backoff_may_start(Oid role, char **name, OwnerState *state, TimestampTz now,
								   TimestampTz *next_check);

#endif							/* ROLE_BACKOFF_H */
