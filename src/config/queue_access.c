/*
 * queue_access.c
 *		Which roles may put jobs into a queue.
 */
#include "postgres.h"

#include "utils/acl.h"

#include "base/job_kind.h"
#include "config/queue_access.h"

bool
queue_usable_by(const char *name, const QueueSettings *queue, Oid role)
{
	if (strcmp(name, DEFAULT_QUEUE) == 0 || has_privs_of_role(role, queue->owner))
		return true;
	for (int i = 0; i < queue->ngranted; i++)
	{
		if (!OidIsValid(queue->granted[i]) || has_privs_of_role(role, queue->granted[i]))
			return true;
	}
	return false;
}

const QueueSettings *
queue_check_usable(const char *name, Oid role)
{
	const QueueSettings *queue = queue_settings(name);

	if (!queue->found)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("queue \"%s\" does not exist", name),
				 errhint("Make it with defer.create_queue().")));
	if (!queue_usable_by(name, queue, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for queue \"%s\"", name),
				 errhint("Its owner can allow it with defer.grant_queue().")));
	return queue;
}
