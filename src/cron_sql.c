/*
 * cron_sql.c
 *		The SQL functions that only look at a schedule's text.
 */
#include "schedule.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(defer_cron_next);
PG_FUNCTION_INFO_V1(defer_cron_describe);

/* Most instants that defer.cron_next() returns */
#define NEXT_MAX		100000

typedef struct NextState
{
	ScheduleClock clock;
	TimestampTz after;
} NextState;

/* defer.cron_next(schedule, timezone, after, n) */
Datum
defer_cron_next(PG_FUNCTION_ARGS)
{
	FuncCallContext *context;
	NextState  *state;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;
		TimestampTz after = PG_GETARG_TIMESTAMPTZ(2);
		int32		n = PG_GETARG_INT32(3);

		if (TIMESTAMP_NOT_FINITE(after))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" must be finite", "after")));
		if (n < 0 || n > NEXT_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" must be between 0 and %d", "n", NEXT_MAX)));
		context = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(context->multi_call_memory_ctx);
		state = palloc(sizeof(NextState));
		schedule_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &state->clock.cron);
		state->clock.zone = cron_zone_open(&state->clock.cache,
										   schedule_check_zone(text_to_cstring(PG_GETARG_TEXT_PP(1))));
		state->after = after;
		context->user_fctx = state;
		context->max_calls = n;
		MemoryContextSwitchTo(old);
	}
	context = SRF_PERCALL_SETUP();
	state = context->user_fctx;
	if (context->call_cntr < context->max_calls &&
		schedule_next(&state->clock, state->after, &state->after))
		SRF_RETURN_NEXT(context, TimestampTzGetDatum(state->after));
	SRF_RETURN_DONE(context);
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
