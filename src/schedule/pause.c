/*
 * pause.c
 *		The SQL functions defer.pause_cron() and defer.resume_cron().
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"

#include "base/args.h"
#include "schedule/schedule.h"

PG_FUNCTION_INFO_V1(defer_pause_cron);
PG_FUNCTION_INFO_V1(defer_pause_cron_by_id);
PG_FUNCTION_INFO_V1(defer_resume_cron);
PG_FUNCTION_INFO_V1(defer_resume_cron_by_id);

/* Find and lock the schedule that the first argument means, by name or by id */
static void
find_argument(FunctionCallInfo fcinfo, bool by_id, Schedule *s)
{
	if (by_id)
	{
		require_argument(fcinfo, 0, "id");
		schedule_find_by_id(PG_GETARG_INT64(0), true, s);
	}
	else
		schedule_find_by_name(args_required_text(fcinfo, 0, "name"), true, s);
}

static Datum
pause_schedule(FunctionCallInfo fcinfo, bool by_id)
{
	char	   *reason;
	Schedule	s;

	PreventCommandIfReadOnly("defer.pause_cron()");
	reason = schedule_read_reason(fcinfo, 1);
	find_argument(fcinfo, by_id, &s);
	schedule_pause(&s, GetUserNameFromId(GetUserId(), false), reason);
	schedule_write_times(&s);
	PG_RETURN_VOID();
}

static Datum
resume_schedule(FunctionCallInfo fcinfo, bool by_id)
{
	Schedule	before;
	Schedule	s;

	PreventCommandIfReadOnly("defer.resume_cron()");
	find_argument(fcinfo, by_id, &before);
	s = before;
	s.active = true;
	if (!before.active)
		(void) schedule_save(&s, &before, true);	/* the row is locked: it
													 * is there */
	PG_RETURN_VOID();
}

/* defer.pause_cron(name, reason) */
Datum
defer_pause_cron(PG_FUNCTION_ARGS)
{
	return pause_schedule(fcinfo, false);
}

/* defer.pause_cron(id, reason) */
Datum
defer_pause_cron_by_id(PG_FUNCTION_ARGS)
{
	return pause_schedule(fcinfo, true);
}

/* defer.resume_cron(name) */
Datum
defer_resume_cron(PG_FUNCTION_ARGS)
{
	return resume_schedule(fcinfo, false);
}

/* defer.resume_cron(id) */
Datum
defer_resume_cron_by_id(PG_FUNCTION_ARGS)
{
	return resume_schedule(fcinfo, true);
}
