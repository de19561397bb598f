/*
 * cron_sql.c
 *		The SQL functions that only look at a schedule's text.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "schedule/schedule.h"

PG_FUNCTION_INFO_V1(defer_cron_next);
PG_FUNCTION_INFO_V1(defer_cron_previous);
PG_FUNCTION_INFO_V1(defer_cron_describe);

/* Most instants that one call returns */
#define TIMES_MAX		100000

/* Instants of a schedule, one after the other */
typedef struct TimesState
{
	ScheduleClock clock;
	TimestampTz at;				/* the last one, or where to start */
} TimesState;

/*
 * (schedule, timezone, start, n).  "forward" is the direction; "start" the name
 * of that parameter.
 */
static Datum
schedule_times(FunctionCallInfo fcinfo, bool forward, const char *start)
{
	FuncCallContext *context;
	TimesState *state;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;
		TimestampTz at = PG_GETARG_TIMESTAMPTZ(2);
		int32		n = args_int32(fcinfo, 3, "n");
		pg_tz	   *zone;

		if (TIMESTAMP_NOT_FINITE(at))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" must be finite", start)));
		if (n < 0 || n > TIMES_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" must be between 0 and %d", "n", TIMES_MAX)));
		context = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(context->multi_call_memory_ctx);
		state = palloc(sizeof(TimesState));
		schedule_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &state->clock.cron);
		zone = schedule_check_zone(text_to_cstring(PG_GETARG_TEXT_PP(1)));
		state->clock.zone = cron_zone_open(&state->clock.cache, zone);
		state->at = at;
		context->user_fctx = state;
		context->max_calls = n;
		MemoryContextSwitchTo(old);
	}
	context = SRF_PERCALL_SETUP();
	state = context->user_fctx;
	if (context->call_cntr < context->max_calls &&
		(forward ? schedule_next(&state->clock, state->at, &state->at) :
		 schedule_previous(&state->clock, state->at, &state->at)))
		SRF_RETURN_NEXT(context, TimestampTzGetDatum(state->at));
	SRF_RETURN_DONE(context);
}

/* defer.cron_next(schedule, timezone, after, n) */
Datum
defer_cron_next(PG_FUNCTION_ARGS)
{
	return schedule_times(fcinfo, true, "after");
}

/* defer.cron_previous(schedule, timezone, before, n) */
Datum
defer_cron_previous(PG_FUNCTION_ARGS)
{
	return schedule_times(fcinfo, false, "before");
}

/* defer.cron_describe(schedule) */
Datum
defer_cron_describe(PG_FUNCTION_ARGS)
{
	CronSchedule cron;
	char		description[CRON_DESCRIPTION_MAX];

	schedule_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &cron);
	cron_describe(&cron, description, sizeof(description));
	PG_RETURN_TEXT_P(cstring_to_text(description));
}
