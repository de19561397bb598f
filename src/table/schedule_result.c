/*
 * schedule_result.c
 *		How runs of schedules have ended: rows of defer.schedule_result.
 *
 * Runs of a schedule with pause_after_failures carry an option that says so, and
 * only their ends write a row, in the transaction of the end.  The scheduler
 * deletes and counts them (schedule/results.c).  A counter in the schedule's row
 * instead would have workers wait for each other, and for a session that has
 * just changed the schedule.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/job_state.h"
#include "base/jsonb_util.h"
#include "shmem/xact_notify.h"
#include "table/alert_rules.h"
#include "table/direct_insert.h"
#include "table/job_row.h"
#include "table/schedule_result.h"

/* The member of the run's options */
#define OPTION_NAME	"count_failures"

enum
{
	RESULT_SCHEDULE_ID = 1, RESULT_JOB_ID, RESULT_FAILED, RESULT_AT,
	RESULT_NATTS = RESULT_AT
};

static const char *const result_columns[] = {
	[RESULT_SCHEDULE_ID - 1] = "schedule_id",
	[RESULT_JOB_ID - 1] = "job_id",
	[RESULT_FAILED - 1] = "failed",
	[RESULT_AT - 1] = "at",
};

Jsonb *
schedule_result_option(void)
{
	JsonbBuilder state = {0};

	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_number(&state, OPTION_NAME, 1);
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
}

void
schedule_result_record(const Job *job, char state)
{
	Datum		values[RESULT_NATTS];
	bool		nulls[RESULT_NATTS] = {0};

	if (job->schedule_id == 0 || job->options == NULL ||
		(state != STATE_SUCCEEDED && state != STATE_FAILED) ||
		jsonb_read_number(job->options, OPTION_NAME, 0) == 0)
		return;
	values[RESULT_SCHEDULE_ID - 1] = Int64GetDatum(job->schedule_id);
	values[RESULT_JOB_ID - 1] = Int64GetDatum(job->id);
	values[RESULT_FAILED - 1] = BoolGetDatum(state == STATE_FAILED);
	values[RESULT_AT - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	direct_insert(catalog_oid(CAT_SCHEDULE_RESULT), result_columns, RESULT_NATTS, values, nulls);
	xact_notify_results();
}

void
schedule_result_notify(void)
{
	xact_notify_results();
}
