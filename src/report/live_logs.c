/*
 * live_logs.c
 *		defer.live_logs(): what jobs that run have said so far.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/roles.h"
#include "base/text.h"
#include "job/job_log.h"
#include "shmem/live_log.h"
#include "shmem/preload.h"

PG_FUNCTION_INFO_V1(defer_live_logs);

static void
put_messages(ReturnSetInfo *rsinfo, const RunningJob *job)
{
	int32		attempt;
	Size		size;
	Size		at = 0;
	char	   *content = live_log_read(job, &attempt, &size);
	const char *text;
	LiveMessage message;

	while (content != NULL && (text = live_log_next(content, size, &at, &message)) != NULL)
	{
		Datum		values[5];
		bool		nulls[5] = {0};

		CHECK_FOR_INTERRUPTS();
		values[0] = Int64GetDatum(job->id);
		values[1] = Int32GetDatum(attempt);
		values[2] = TimestampTzGetDatum(message.at);
		values[3] = CStringGetTextDatum(job_log_level_name(message.level));
		values[4] = CStringGetTextDatum(text_valid(pnstrdup(text, message.length)));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	if (content != NULL)
		pfree(content);
}

/* The messages of running jobs that the user may see, of this database */
Datum
defer_live_logs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	RunningJob *jobs;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (!shmem_is_present())
		return (Datum) 0;
	n = workers_running(MyDatabaseId, &jobs);
	for (int i = 0; i < n; i++)
	{
		if (role_may_see(jobs[i].owner))
			put_messages(rsinfo, &jobs[i]);
	}
	return (Datum) 0;
}
