/*
 * job_policy.c
 *		The retry policy and max_duration of a job: see job_policy.h.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "config/job_policy.h"
#include "config/settings_cache.h"
#include "config/settings_memo.h"

/* Defaults where no setting was made */
static const JobPolicy default_policy = {
	.max_attempts = 13,
	.initial_interval = 30 * USECS_PER_SEC,
	.multiplier = 1.5,
	.max_interval = 600 * USECS_PER_SEC,
	.randomization = 0.5,
	.max_duration = 30 * USECS_PER_MINUTE,
};

/* A number among the job's own options; false: it is not there */
static bool
option(const Jsonb *options, const char *name, double *value)
{
	JsonbValue	found;

	if (!JB_ROOT_IS_OBJECT(options) ||
		getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &options->root),
									 name, strlen(name), &found) == NULL ||
		found.type != jbvNumeric)
		return false;
	*value = DatumGetFloat8(DirectFunctionCall1(numeric_float8,
												NumericGetDatum(found.val.numeric)));
	return true;
}

/* Function over queue over default, each field by itself; those of the last job are remembered */
static const JobPolicy *
policy_by_settings(const Job *job)
{
	static SettingsMemo memo;
	static JobPolicy policy;
	JobPolicy	function;
	JobPolicy	queue;
	uint64		read_at;

	if (settings_memo_holds(&memo, job))
		return &policy;
	read_at = settings_memo_begin(&memo, job);
	function = function_settings(memo.function)->policy;
	queue = queue_settings(memo.queue)->policy;

#define WEIGH(field) \
	(policy.field = function.field >= 0 ? function.field : \
	 queue.field >= 0 ? queue.field : default_policy.field)
	WEIGH(max_attempts);
	WEIGH(initial_interval);
	WEIGH(multiplier);
	WEIGH(max_interval);
	WEIGH(randomization);
	WEIGH(max_duration);
#undef WEIGH
	settings_memo_end(&memo, read_at);
	return &policy;
}

void
job_policy(const Job *job, JobPolicy *policy)
{
	double		value;

	*policy = *policy_by_settings(job);
	if (job->options == NULL)
		return;
#define TAKE(field) \
	(policy->field = option(job->options, #field, &value) ? value : policy->field)
	TAKE(max_attempts);
	TAKE(initial_interval);
	TAKE(multiplier);
	TAKE(max_interval);
	TAKE(randomization);
	TAKE(max_duration);
#undef TAKE
}
