/*
 * worker_share.c
 *		How workers are shared: what a group has had of their time and when a rate lets the
 *		next attempt begin, for the view defer.groups; how many are kept for a queue, for
 *		defer.health.  How many deliveries an endpoint has, for defer.endpoints; how many
 *		jobs are counted under max_queued, for defer.functions and defer.queues.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/limits_key.h"
#include "base/roles.h"
#include "config/endpoint_settings.h"
#include "config/job_caps.h"
#include "config/queue_access.h"
#include "config/settings_cache.h"
#include "delivery/endpoint.h"
#include "shmem/fair_queue.h"
#include "shmem/limits.h"
#include "shmem/reserved.h"
#include "shmem/shmem.h"

PG_FUNCTION_INFO_V1(defer_cap_state);
PG_FUNCTION_INFO_V1(defer_group_share);
PG_FUNCTION_INFO_V1(defer_next_token);
PG_FUNCTION_INFO_V1(defer_reserved_workers);
PG_FUNCTION_INFO_V1(defer_endpoint_places);

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

/*
 * Returns the number of a function ('f'), queue ('q') or endpoint ('e'), 0: it has none, or
 * the current user may not put jobs under it.
 */
static int32
visible_id(char kind, const char *name)
{
	const QueueSettings *queue;
	const Endpoint *endpoint;

	if (kind == 'f')
		return role_may_see(function_settings(name)->owner) || access_to_function(name) ?
			function_settings(name)->id : 0;
	if (kind == 'e')
	{
		endpoint = endpoint_read(name);
		return endpoint != NULL && (role_may_see(endpoint->owner) ||
									endpoint_usable_by(endpoint, GetUserId())) ?
			endpoint_settings(name)->id : 0;
	}
	queue = queue_settings(name);
	return queue->found && (role_may_see(queue->owner) ||
							queue_usable_by(name, queue, GetUserId())) ? queue->id : 0;
}

/* The kind of a limit by its name; '\0': there is none of that */
static char
limit_kind(const char *name)
{
	return strcmp(name, "function") == 0 ? 'f' : strcmp(name, "queue") == 0 ? 'q' :
		strcmp(name, "endpoint") == 0 ? 'e' : '\0';
}

/* defer.next_token(kind, name, group_key) */
Datum
defer_next_token(PG_FUNCTION_ARGS)
{
	char		kind;
	int64		group = 0;
	TimestampTz next;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || shared == NULL)
		PG_RETURN_NULL();
	kind = limit_kind(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (kind == '\0')
		PG_RETURN_NULL();
	if (!PG_ARGISNULL(2))
		group = limits_group_hash(VARDATA_ANY(PG_GETARG_TEXT_PP(2)),
								  VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(2)));
	next = rates_next_token(MyDatabaseId, kind,
							visible_id(kind, text_to_cstring(PG_GETARG_TEXT_PP(1))), group);
	if (next == 0)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(next);
}

/* defer.endpoint_places(name) */
Datum
defer_endpoint_places(PG_FUNCTION_ARGS)
{
	int32		id = visible_id('e', text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_INT32(shared == NULL ? 0 : limit_running(MyDatabaseId, 'e', id, 0));
}

/* defer.reserved_workers(queue) */
Datum
defer_reserved_workers(PG_FUNCTION_ARGS)
{
	const int32 queue_id = queue_settings(text_to_cstring(PG_GETARG_TEXT_PP(0)))->id;

	PG_RETURN_INT32(reserved_granted(MyDatabaseId, queue_id));
}

/* defer.cap_state(kind, name) */
Datum
defer_cap_state(PG_FUNCTION_ARGS)
{
	char		kind = limit_kind(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	const char *name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	TupleDesc	desc;
	Datum		values[3] = {0};
	bool		nulls[3];
	CapState	state = {0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if ((kind == 'f' || kind == 'q') && visible_id(kind, name) != 0)
		job_caps_state(kind == 'f' ? &function_settings(name)->cap : &queue_settings(name)->cap,
					   &state);
	memset(nulls, !state.counted, sizeof(nulls));
	values[0] = Int32GetDatum(state.count);
	values[1] = Int64GetDatum(state.refused);
	values[2] = Int32GetDatum(state.together);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
