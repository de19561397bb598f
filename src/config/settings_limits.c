/*
 * settings_limits.c
 *		Which limits a job is under, by the settings of its function, queue and endpoint.
 */
#include "postgres.h"

#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "base/job_kind.h"
#include "base/jsonb_util.h"
#include "base/limits_key.h"
#include "config/endpoint_settings.h"
#include "config/group_hold.h"
#include "config/job_caps.h"
#include "config/settings_cache.h"

/*
 * Only limits, rates, pauses and groups make a ready queue of their own, and a task's
 * jobs in a queue
 */
void
settings_limits(const char *signature, const char *queue, JobLimits *limits)
{
	const FunctionSettings *function = function_settings(signature);
	const bool	task = name_is_task(signature);
	bool		of_function = task || function->paused || function->concurrency >= 0 ||
		function->rate != NULL;
	bool		function_groups = function->group_concurrency >= 0 || function->group_overrides ||
		function->group_rate != NULL || function->group_order != GROUP_ORDER_NONE;
	const bool	function_order = function->group_order != GROUP_ORDER_NONE;
	int32		function_id = function->id;
	const QueueSettings *settings = queue_settings(queue);
	bool		of_queue = task || settings->paused || settings->concurrency >= 0 ||
		settings->rate != NULL || settings->reserved > 0;
	bool		queue_groups = settings->group_concurrency >= 0 || settings->group_overrides ||
		settings->group_rate != NULL || settings->group_order != GROUP_ORDER_NONE;

	limits->without = (LimitScopes)
	{
		.function_id = of_function ? function_id : 0,
			.queue_id = of_queue ? settings->id : 0
	};
	limits->with = (LimitScopes)
	{
		.function_id = of_function || function_groups ? function_id : 0,
			.queue_id = of_queue || queue_groups ? settings->id : 0
	};

	/* the queue's order has all jobs of the function that it has, and others */
	limits->order_scope = settings->group_order != GROUP_ORDER_NONE ? settings->id :
		function_order ? -function_id : 0;
	limits->capped = setting_cap_holds(&function->cap) || setting_cap_holds(&settings->cap);
	limits->kinds = task ? LIMITS_KEY_TASK :
		(name_is_delivery(signature) ? LIMITS_KEY_DELIVERY : 0) |
		(strcmp(signature, EMAIL_FUNCTION) == 0 ? LIMITS_KEY_MAIL : 0);
}

/* The owner may have another name by now; one that was dropped sends nothing any more */
bool
settings_endpoint_is_meant(const Jsonb *args, Oid job_owner, Oid owner, TimestampTz created_at)
{
	const char *name = jsonb_read_text(args, "endpoint_owner");

	if (name == NULL)
		return owner == job_owner;
	return owner == get_role_oid(name, true) ||
		(jsonb_read_number(args, "endpoint_created_at", 0) == created_at &&
		 SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner)));
}

/*
 * One that belongs to another role by now does not count: the delivery will fail, and
 * that role's limits must not hold it up.
 */
int32
settings_limited_endpoint(const Jsonb *args, Oid job_owner)
{
	const char *name = args != NULL ? jsonb_read_text(args, "endpoint") : NULL;
	const EndpointSettings *settings;
	int32		id;

	if (name == NULL)
		return 0;
	settings = endpoint_settings(name);
	if (settings->concurrency < 0 && settings->rate == NULL)
		return 0;
	id = settings->id;
	if (!settings_endpoint_is_meant(args, job_owner, settings->owner, settings->created_at))
		return 0;
	return id;
}

int64
settings_scopes_of_job(const JobLimits *limits, const text *group, int32 endpoint_id,
					   LimitScopes *scopes)
{
	if (group == NULL)
		*scopes = limits->without;
	else
	{
		*scopes = limits->with;
		scopes->group = limits_group_hash(VARDATA_ANY(group), VARSIZE_ANY_EXHDR(group));
	}
	scopes->endpoint_id = endpoint_id;
	return limits_key_of(scopes, limits->kinds);
}

void
settings_set_limits(Job *job)
{
	JobLimits	limits;
	int32		order_scope;
	int32		endpoint_id = 0;

	job->caps_generation = caps_generation();
	settings_limits(text_to_cstring(job->function), text_to_cstring(job->queue), &limits);
	if (LIMITS_KEY_IS_DELIVERY(limits.kinds))
		endpoint_id = settings_limited_endpoint(job->args, job->owner);
	job->limits_key = settings_scopes_of_job(&limits, job->group_key, endpoint_id, &job->scopes);
	order_scope = job->group_key != NULL ? limits.order_scope : 0;
	if (job->order_scope != 0 && job->order_scope != order_scope)
		group_order_left(job);
	job->order_scope = order_scope;
	job->capped = limits.capped;
}

void
settings_set_scopes(Job *job)
{
	const int64 limits_key = job->limits_key;
	const int32 order_scope = job->order_scope;

	job->scopes = limit_scopes_of_key(limits_key);
	job->order_scope = 0;
	if (LIMITS_KEY_IS_HASHED(limits_key))
		settings_set_limits(job);
	job->limits_key = limits_key;
	job->order_scope = order_scope;
}

void
settings_set_queue_scopes(Job *job)
{
	settings_set_scopes(job);
	if (LIMITS_KEY_IS_HASHED(job->limits_key) &&
		limits_key_of(&job->scopes, job->limits_key & LIMITS_KEY_KINDS) != job->limits_key)
		job->scopes = (LimitScopes) {0};
}

bool
group_order_holds(const Job *job)
{
	const FunctionSettings *function;
	const QueueSettings *queue;

	if (job->order_scope > 0)
	{
		queue = queue_settings(text_to_cstring(job->queue));
		return queue->id == job->order_scope && queue->group_order == GROUP_ORDER_HOLD;
	}
	function = function_settings(text_to_cstring(job->function));
	return function->id == -job->order_scope && function->group_order == GROUP_ORDER_HOLD;
}
