/*
 * queue_access.c
 *		Which roles may put jobs into a queue, and call a function.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "base/job_kind.h"
#include "function/function.h"
#include "config/queue_access.h"
#include "config/task.h"

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

bool
access_to_function(const char *signature)
{
	const FunctionEntry *entry;

	if (name_is_task(signature))
	{
		const TaskSettings *task = task_find(signature);

		return task != NULL && (task_usable_by(task, GetUserId(), TASK_ENQUEUE) ||
								task_usable_by(task, GetUserId(), TASK_WORK));
	}
	entry = function_by_signature(signature);
	return entry != NULL && compat_may_execute(entry->oid, GetUserId()) &&
		compat_may_use_schema(get_func_namespace(entry->oid), GetUserId());
}
