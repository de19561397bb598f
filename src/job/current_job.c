/*
 * current_job.c
 *		What a job can ask and say about itself: defer.current_job(), log(),
 *		progress(), snooze(), give_up().
 *
 * snooze() and give_up() end the job by an error, so that nothing of what it
 * wrote stays.  A job that catches that error goes on as if it had not called:
 * the worker looks at the SQLSTATE that the job ends with, too.
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/errcodes.h"
#include "job/current_job.h"
#include "job/job_log.h"
#include "shmem/leases.h"
#include "shmem/workers.h"
#include "table/history_table.h"

PG_FUNCTION_INFO_V1(defer_current_job);
PG_FUNCTION_INFO_V1(defer_log);
PG_FUNCTION_INFO_V1(defer_progress);
PG_FUNCTION_INFO_V1(defer_snooze);
PG_FUNCTION_INFO_V1(defer_give_up);

/* Longest time that a job can be put off by, at a time (microseconds) */
#define SNOOZE_MAX	(366 * USECS_PER_DAY)

CurrentJob	current_job;

/*
 * A job's statements may run code of other roles: functions in indexes of
 * tables that it only analyzes, SECURITY DEFINER functions, default values.
 * Only code that runs with the rights of the job's owner decides about the job.
 * That includes what the job does after SET ROLE, which it can undo.  An outside worker
 * acts as the job with rights of its own.
 */
void
current_job_require(const char *function)
{
	Oid			role;

	if (current_job.job == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s can only be called inside a job", function),
				 errhint("Call it in a function that is run by defer.enqueue() or by a schedule.")));
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("%s cannot be called within a security-restricted operation", function)));
	role = current_job.token != NULL ? current_job.role : current_job.job->owner;
	if (InLocalUserIdChange() && !has_privs_of_role(GetUserId(), role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to call %s in a job of role \"%s\"", function,
						GetUserNameFromId(role, false)),
				 errdetail("Role \"%s\", as which it is called, is not a member of that role.",
						   GetUserNameFromId(GetUserId(), false)),
				 errhint("A SECURITY DEFINER function is called as its owner.")));
}

/* The same, for what ends the attempt by an error: workers outside of the server call others */
static void
require_inside(const char *function, const char *instead)
{
	current_job_require(function);
	if (current_job.token != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s cannot be called by a worker outside of the server", function),
				 errhint("Roll back, and call %s.", instead)));
}

Datum
defer_current_job(PG_FUNCTION_ARGS)
{
	if (current_job.job == NULL)
		PG_RETURN_NULL();
	PG_RETURN_INT64(current_job.job->id);
}

Datum
defer_log(PG_FUNCTION_ARGS)
{
	current_job_require("defer.log()");
	if (PG_ARGISNULL(0))
		PG_RETURN_VOID();
	if (current_job.token != NULL)
		log_insert(current_job.job->id, current_job.job->owner, current_job.job->attempt + 1,
				   GetCurrentTimestamp(), "info", text_to_cstring(PG_GETARG_TEXT_PP(0)));
	else
		job_log_add(INFO, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

Datum
defer_progress(PG_FUNCTION_ARGS)
{
	float8		fraction;

	current_job_require("defer.progress()");
	require_argument(fcinfo, 0, "fraction");
	fraction = PG_GETARG_FLOAT8(0);
	if (isnan(fraction) || fraction < 0 || fraction > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("progress must be between 0 and 1"),
				 errhint("Give the part that is done, such as 0.5 for half of it.")));
	if (current_job.token != NULL)
		(void) lease_beat(MyDatabaseId, current_job.job->id, current_job.token, -1,
						  (float4) fraction);
	else
		worker_set_progress((float4) fraction);
	PG_RETURN_VOID();
}

Datum
defer_snooze(PG_FUNCTION_ARGS)
{
	int64		wait;

	require_inside("defer.snooze()", "defer.release()");
	require_argument(fcinfo, 0, "delay");
	wait = setting_interval("delay", PG_GETARG_INTERVAL_P(0));
	if (wait == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"delay\" must be more than 0")));
	if (wait > SNOOZE_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"delay\" must not be more than a year")));
	current_job.snooze = true;
	current_job.give_up = 0;
	current_job.snooze_for = wait;
	ereport(ERROR,
			(errcode(ERRCODE_JOB_SNOOZED),
			 errmsg("job " INT64_FORMAT " is put off", current_job.job->id)));
	PG_RETURN_VOID();
}

Datum
defer_give_up(PG_FUNCTION_ARGS)
{
	char	   *reason = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));

	require_inside("defer.give_up()", "defer.fail(retry => false)");
	current_job.give_up = ERRCODE_JOB_GIVEN_UP;
	current_job.snooze = false;
	ereport(ERROR,
			(errcode(ERRCODE_JOB_GIVEN_UP),
			 errmsg("%s", reason != NULL ? reason : "the job has given up")));
	PG_RETURN_VOID();
}
