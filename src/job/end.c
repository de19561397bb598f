/*
 * end.c
 *		What happens when a job ends, in one place.
 *
 * Whatever ends a job comes by here: success and failure (job/finish.c),
 * discard_after (job/claim.c), defer.cancel() (job/control.c), limits and roles
 * that cannot run jobs (job/expire.c), times of schedules at which no job ran
 * (schedule/).  In the transaction that ends it
 *
 *	- its row of the history is written (table/history_table.c);
 *	- sessions that wait for it are woken at commit (shmem/waiters.c);
 *	- jobs that come after it are made ready, or are cancelled (job/dependents.c);
 *	- if it has failed, that is recorded (table/failure_table.c);
 *	- events are recorded for the alerts that want them (table/alert_event.c);
 *	- runs of schedules with pause_after_failures are noted (table/schedule_result.c);
 *	- it is added to the statistics at commit (shmem/statistics.c);
 *	- its place under max_queued is free at commit (config/job_caps.c);
 *	- runs of its schedule that were held back are looked at (schedule/runs.c);
 *	- the job that waits behind it, with its key, may begin (job/behind.c);
 *	- those after it in the order of its group may, or are held (config/group_hold.c);
 *	- it is counted, when its row is deleted (table/rollup.c).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/job.h"
#include "base/job_state.h"
#include "config/group_hold.h"
#include "config/job_caps.h"
#include "job/behind.h"
#include "job/dependents.h"
#include "job/end.h"
#include "shmem/statistics.h"
#include "shmem/xact_notify.h"
#include "table/alert_event.h"
#include "table/failure_table.h"
#include "table/history_table.h"
#include "table/job_table.h"
#include "table/ready_scan.h"
#include "table/rollup.h"
#include "table/schedule_result.h"

/* All but the count */
static TimestampTz
record_end(const Job *job, char state, int32 attempt, TimestampTz started_at, Jsonb *result,
		   const char *sqlstate, const char *error)
{
	TimestampTz finished_at = history_insert(job, state, attempt, started_at, result, sqlstate,
											 error);

	if (job->followed_by != 0)
		behind_release(job->followed_by, job->id);
	if (job->order_scope != 0)
		group_order_end(job, state);
	xact_notify_final(job->id);
	dependents_end(job, state);
	if (state == STATE_FAILED)
		failure_record(job, sqlstate, error);
	/* a step of a workflow that was skipped has not come right */
	if (alert_event_wanted(state) && (state != STATE_SUCCEEDED || started_at != NO_TIME))
		alert_event_record(job, state, started_at);
	schedule_result_record(job, state);
	statistics_job_ended(job, state, started_at, finished_at);
	return finished_at;
}

TimestampTz
job_end_uncounted(const Job *job, char state, int32 attempt, TimestampTz started_at,
				  Jsonb *result, const char *sqlstate, const char *error)
{
	if (job->schedule_id != 0)
		xact_notify_release();
	job_caps_ended(job);
	return record_end(job, state, attempt, started_at, result, sqlstate, error);
}

void
job_end(const Job *job, char state, int32 attempt, TimestampTz started_at, Jsonb *result,
		const char *sqlstate, const char *error)
{
	TimestampTz finished_at = job_end_uncounted(job, state, attempt, started_at, result, sqlstate,
												error);

	rollup_add(job, state, started_at, finished_at);
}

void
job_end_discarded(const Job *job)
{
	job_end(job, STATE_DISCARDED, 0, NO_TIME, NULL, NULL, "was not begun before discard_after");
}

void
job_end_without_row(const Job *job, char state, const char *sqlstate, const char *error)
{
	TimestampTz finished_at = record_end(job, state, 0, NO_TIME, NULL, sqlstate, error);

	rollup_add(job, state, NO_TIME, finished_at);
}

int
job_end_due(const ReadyQueueChoice *rq, TimestampTz now, int max, char state,
			const char *sqlstate, const char *error, ReadyKey *next)
{
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "defer ended row",
													  ALLOCSET_DEFAULT_SIZES);
	ReadyScan	scan;
	int			nended = 0;

	*next = READY_KEY_NONE;
	ready_scan_open(&scan, rq);
	while (index_getnext_slot(scan.scan, ForwardScanDirection, scan.slot))
	{
		ItemPointerData tid = scan.slot->tts_tid;
		MemoryContext context;
		bool		isnull;
		ReadyKey	key;
		Job			job;

		CHECK_FOR_INTERRUPTS();
		key.run_at = DatumGetTimestampTz(slot_getattr(scan.slot, JOB_RUN_AT, &isnull));
		key.id = DatumGetInt64(slot_getattr(scan.slot, JOB_ID, &isnull));
		if (key.run_at > now || nended == max)
		{
			if (ready_key_before(key, *next))
				*next = key;
			break;
		}
		(void) slot_getattr(scan.slot, JOB_CLAIM, &isnull);
		if (!isnull)
			continue;

		context = MemoryContextSwitchTo(row_context);
		job_from_slot(&job, scan.slot);
		if (job_delete_at(&tid))
		{
			job_end(&job, state, job.attempt, NO_TIME, NULL, sqlstate, error);
			nended++;
		}
		else if (ready_key_before(key, *next))
			*next = key;
		MemoryContextSwitchTo(context);
		MemoryContextReset(row_context);
	}
	ready_scan_close(&scan);
	MemoryContextDelete(row_context);
	return nended;
}

void
job_attempt_end(const Job *job, int32 attempt, TimestampTz started_at, const char *outcome,
				const ErrorData *error, TimestampTz retry_at)
{
	attempt_insert(job, attempt, started_at, outcome, error, retry_at);
	if (retry_at != NO_TIME && (strcmp(outcome, "failed") == 0 || strcmp(outcome, "timed_out") == 0 ||
								strcmp(outcome, "crashed") == 0) &&
		alert_event_wanted(EVENT_RETRIED))
		alert_event_record_retry(job, attempt, error->message != NULL ? error->message : outcome);
	statistics_attempt_ended(job, outcome);
}
