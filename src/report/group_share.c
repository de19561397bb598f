/*
 * group_share.c
 *		defer.group_share(), for the view defer.groups: how much of the workers' time a
 *		group has had.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/limits_key.h"
#include "base/roles.h"
#include "config/settings_cache.h"
#include "shmem/fair_queue.h"

PG_FUNCTION_INFO_V1(defer_group_share);

/* Most fair queues, of different roles and priorities, that are added up */
#define USES_MAX	256

/* Add what was used under that queue by roles that the caller may see */
static void
add_uses(int32 queue_id, int64 group, double *by_group, double *by_all)
{
	FairUse		uses[USES_MAX];
	int			n = fair_uses(MyDatabaseId, queue_id, group, uses, USES_MAX);

	for (int i = 0; i < n; i++)
	{
		if (!role_may_see(uses[i].owner))
			continue;
		*by_group += uses[i].by_group;
		*by_all += uses[i].by_all;
	}
}

/*
 * defer.group_share(queue, group_key): of the worker time of the last minute, of roles that
 * the caller may see.  NULL: none was used.
 */
Datum
defer_group_share(PG_FUNCTION_ARGS)
{
	const char *queue = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const		text *name = PG_GETARG_TEXT_PP(1);
	const int64 group = limits_group_hash(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	const int32 queue_id = queue_settings(queue)->id;
	JobLimits	limits;
	double		by_group = 0;
	double		by_all = 0;

	/*
	 * without limits it shares a fair queue; jobs from when it had some do
	 * not
	 */
	settings_limits("", queue, &limits);
	add_uses(limits.with.queue_id, group, &by_group, &by_all);
	if (queue_id != limits.with.queue_id)
		add_uses(queue_id, group, &by_group, &by_all);
	if (by_all <= 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(Min(by_group / by_all, 1));
}
