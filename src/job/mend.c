/*
 * mend.c
 *		Running jobs again that have ended: what defer.rerun() does.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/job_kind.h"
#include "shmem/preload.h"
#include "function/function.h"
#include "table/job_insert.h"
#include "table/job_row.h"
#include "config/queue_access.h"
#include "config/setting_values.h"
#include "config/settings_cache.h"
#include "config/task.h"
#include "job/after.h"
#include "job/control.h"
#include "job/current_job.h"

/* The job's owner could enqueue it today, too */
static void
check_can_run(const Job *job)
{
	char	   *function = text_to_cstring(job->function);
	char	   *queue_name = text_to_cstring(job->queue);
	char	   *owner = GetUserNameFromId(job->owner, true);

	if (owner == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role with OID %u does not exist", job->owner),
				 errdetail("It was the owner of job " INT64_FORMAT ".", job->id),
				 errhint("Use defer.enqueue() as the role that is to run the job.")));
	if ((job->kind == JOB_COMMAND) != (strcmp(function, COMMAND_FUNCTION) == 0) ||
		kind_is_delivery(job->kind) != name_is_delivery(function) ||
		(job->kind == JOB_TASK) != name_is_task(function))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("job " INT64_FORMAT " cannot be run again: its kind and function do not belong together",
						job->id),
				 errdetail("Its kind is \"%c\", and its function %s.", job->kind, function)));
	if (job->kind == JOB_FUNCTION || job->kind == JOB_PROCEDURE)
	{
		FunctionEntry *entry = function_by_signature(function);

		if (entry == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_FUNCTION),
					 errmsg("function %s does not exist", function),
					 errhint("The job's function has been dropped or renamed, or its parameters have changed: use defer.enqueue() with the function that there is now.")));
		if (!function_owner_accepted(entry->owner, job->function_owner, job->owner))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("function %s has another owner than when the job was enqueued", function),
					 errdetail("It belongs to role \"%s\".", GetUserNameFromId(entry->owner, false)),
					 errhint("If the owner of the job trusts that role, use defer.enqueue().")));
		if (!compat_may_execute(entry->oid, job->owner))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied for function %s", function),
					 errdetail("The job's owner, role \"%s\", may not execute it.", owner)));
	}
	if (job->kind == JOB_TASK &&
		!function_owner_accepted(task_check_usable(function, job->owner)->owner,
								 job->function_owner, job->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("task \"%s\" has another owner than when the job was enqueued", function),
				 errhint("If the owner of the job trusts that role, use defer.enqueue().")));

	(void) queue_check_usable(queue_name, job->owner);
}

/* Check the same, without an error if it cannot */
static bool
can_run(const Job *job)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool can = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		check_can_run(job);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode != ERRCODE_UNDEFINED_OBJECT &&
			error->sqlerrcode != ERRCODE_UNDEFINED_FUNCTION &&
			error->sqlerrcode != ERRCODE_INSUFFICIENT_PRIVILEGE &&
			error->sqlerrcode != ERRCODE_DATA_CORRUPTED)
			ReThrowError(error);
		FreeErrorData(error);
		can = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return can;
}

/*
 * The new job has no key, schedule or discard_at of the old one, and waits for no
 * other job: it is a run that a user wants now.
 */
ControlResult
job_rerun(int64 id, bool must, int64 *new_id)
{
	Job			old;
	Job			job = {0};
	bool		finished;

	if (!job_find(id, &old, &finished))
		return CONTROL_NOT_THERE;
	if (must)
		check_can_run(&old);
	else if (!can_run(&old))
		return CONTROL_LEFT;
	warn_if_not_preloaded();

	job.owner = old.owner;
	job.priority = old.priority;
	job.run_at = GetCurrentTimestamp();
	job.kind = old.kind;
	job.parent_id = current_job.job != NULL ? current_job.job->id : 0;
	job.scheduled_for = NO_TIME;
	job.discard_at = NO_TIME;
	job.rerun_of = old.rerun_of != 0 ? old.rerun_of : old.id;
	job.function = old.function;
	job.function_owner = old.function_owner;
	job.queue = old.queue;
	job.args = old.args;
	job.metadata = old.metadata;
	job.group_key = old.group_key;
	job.options = old.options;
	settings_set_limits(&job);
	*new_id = job_insert(&job);
	after_copy(old.id, job.id, job.owner);
	return CONTROL_DONE;
}
