/*
 * find_jobs.c
 *		defer.find_jobs(): a page of jobs, see bulk/job_search.c.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"

#include "base/args.h"
#include "base/roles.h"
#include "bulk/job_search.h"

/* Most ids of one call */
#define MAX_FOUND		10000

/* Parameters besides the filters */
#define ARG_N			10
#define ARG_GROUP_KEY	11

PG_FUNCTION_INFO_V1(defer_find_jobs);

typedef struct Found
{
	int64	   *ids;
	int			n;
} Found;

/* All of them at once, in the current memory context */
static Found *
find_jobs(FunctionCallInfo fcinfo)
{
	Found	   *found = palloc(sizeof(Found));
	int			wanted = PG_ARGISNULL(ARG_N) ? 50 : args_int32(fcinfo, ARG_N, "n");

	if (wanted < 0 || wanted > MAX_FOUND)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of jobs must be between 0 and %d", MAX_FOUND)));
	found->ids = palloc(sizeof(int64) * Max(wanted, 1));
	found->n = job_search_page(job_search_begin(fcinfo, ARG_GROUP_KEY, role_may_see), wanted,
							   found->ids);
	return found;
}

Datum
defer_find_jobs(PG_FUNCTION_ARGS)
{
	FuncCallContext *context;
	Found	   *found;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;

		context = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(context->multi_call_memory_ctx);
		context->user_fctx = find_jobs(fcinfo);
		MemoryContextSwitchTo(old);
	}
	context = SRF_PERCALL_SETUP();
	found = context->user_fctx;
	if (context->call_cntr < (uint64) found->n)
	{
		int64		id = found->ids[context->call_cntr];

		SRF_RETURN_NEXT(context, Int64GetDatum(id));
	}
	SRF_RETURN_DONE(context);
}
