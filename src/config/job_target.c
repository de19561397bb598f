/*
 * job_target.c
 *		Functions and tasks by the names that users give: see job_target.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/job_kind.h"
#include "config/job_target.h"
#include "config/json_schema.h"
#include "config/task.h"

static void
set_function(JobTarget *target, FunctionEntry *entry)
{
	function_warn_of_steps(entry);
	target->kind = entry->kind;
	target->name = entry->signature;
	target->owner = entry->owner;
	target->function = entry;
}

static void
set_task(JobTarget *target, const TaskSettings *task)
{
	target->kind = JOB_TASK;
	target->name = pstrdup(task->name);
	target->owner = task->owner;
	target->function = NULL;
}

void
job_target_resolve(const char *name, Jsonb **args, JobTarget *target)
{
	FunctionEntry *entry = function_resolve(name, args, true);

	if (entry == NULL && task_find(name) != NULL)
	{
		const TaskSettings *task = task_check_usable(name, GetUserId());

		if (*args != NULL && JB_ROOT_IS_SCALAR(*args))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("arguments of task \"%s\" must be a JSON array or object", name)));
		if (task->schema != NULL)
			json_schema_check(task->schema, *args, name);
		set_task(target, task);
		return;
	}
	if (entry == NULL)
		entry = function_resolve(name, args, false);	/* raises the error */
	set_function(target, entry);
}

void
job_target_resolve_name(const char *name, JobTarget *target)
{
	FunctionEntry *entry = function_resolve_name(name, true);
	const TaskSettings *task;

	if (entry == NULL && (task = task_find(name)) != NULL)
	{
		set_task(target, task);
		return;
	}
	if (entry == NULL)
		entry = function_resolve_name(name, false); /* raises the error */
	set_function(target, entry);
}
