/*
 * flow_world.c
 *		Tables of the property test: settings, jobs, and transactions that write jobs.
 *
 * A row that a transaction has written is locked for others until it ends; they see it as it
 * was.  A commit tells shared memory of it in later steps, as callbacks do.
 */
#include "flow.h"

#include "utils/timestamp.h"

#include "shmem/ready_queue_slots.h"

Setting		settings[3][SCOPES + 1];
Setting		group_settings[2][SCOPES + 1][GROUPS + 1];
FlowJob		jobs[JOBS];
uint64		step;
uint64		generation;
const char	kinds[] = "fqe";

static int64 last_id;

int64
group_hash(int group)
{
	char		name[16];

	return limits_group_hash(name, snprintf(name, sizeof(name), "group %d", group));
}

void
world_begin(void)
{
	memset(jobs, 0, sizeof(jobs));
	memset(settings, 0, sizeof(settings));
	memset(group_settings, 0, sizeof(group_settings));
	for (int id = 0; id <= SCOPES; id++)
	{
		for (int kind = 0; kind < 3; kind++)
		{
			settings[kind][id].limit = settings[kind][id].group_limit = LIMIT_NONE;
			settings[kind][id].rate.burst = settings[kind][id].group_rate.burst = 1;
		}
		for (int kind = 0; kind < 2; kind++)
		{
			for (int g = 0; g <= GROUPS; g++)
				group_settings[kind][id][g] = (Setting)
			{
				.limit = LIMIT_INHERITED, .rate = {RATE_INHERITED, 1}
			};
		}
	}
	last_id = 0;
}

void
world_crash(void)
{
	for (int i = 0; i < JOBS; i++)
	{
		jobs[i].writer = NULL;
		jobs[i].running = false;
		jobs[i].startable_since = -1;
		if (!jobs[i].visible)
			jobs[i].used = false;
	}
	for (int kind = 0; kind < 3; kind++)
	{
		for (int id = 1; id <= SCOPES; id++)
			settings[kind][id].telling = 0;
	}
}

/* ------------------------------------------------------------------------
 * Settings
 * ------------------------------------------------------------------------ */

bool
has_overrides(int kind, int id)
{
	for (int g = 1; kind < 2 && g <= GROUPS; g++)
	{
		if (group_settings[kind][id][g].set || group_settings[kind][id][g].held)
			return true;
	}
	return false;
}

static bool
is_limited(const Setting *setting)
{
	return setting->paused || setting->limit >= 0 || setting->rate.interval > 0;
}

static bool
limits_groups(int kind, int id)
{
	const Setting *setting = &settings[kind][id];

	return setting->group_limit >= 0 || setting->group_rate.interval > 0 || setting->strict ||
		has_overrides(kind, id);
}

/* As settings_set_limits() */
void
set_limits(FlowJob *row, Job *job)
{
	const bool	group = row->group != 0;
	int64		of = 0;

	job->scopes = (LimitScopes) {0};
	if (is_limited(&settings[0][row->function]) || (group && limits_groups(0, row->function)))
		job->scopes.function_id = row->function;
	if (row->queue != 0 &&
		(is_limited(&settings[1][row->queue]) || (group && limits_groups(1, row->queue))))
		job->scopes.queue_id = row->queue;
	if (row->endpoint != 0 && is_limited(&settings[2][row->endpoint]))
		job->scopes.endpoint_id = row->endpoint;
	if (group)
		job->scopes.group = group_hash(row->group);
	job->order_scope = !group ? 0 : row->queue != 0 && settings[1][row->queue].strict ? row->queue :
		settings[0][row->function].strict ? -row->function : 0;
	of = row->delivery ? LIMITS_KEY_DELIVERY : 0;
	job->limits_key = limits_key_of(&job->scopes, of);
}

/* As config/limits_load.c reads it */
LimitValue
read_limit(const LimitValue *wanted)
{
	LimitValue	value = *wanted;
	const int	kind = (int) (strchr(kinds, wanted->kind) - kinds);
	const Setting *setting = &settings[kind][wanted->id];

	for (int g = 1; wanted->group != 0 && g <= GROUPS; g++)
	{
		if (group_hash(g) == wanted->group)
			setting = &group_settings[kind][wanted->id][g];
	}
	value.used = setting->used;
	if (setting->held)
		value.limit = LIMIT_PAUSED;
	if (wanted->group != 0 && !setting->set)
		return value;
	if (!setting->held)
		value.limit = setting->paused ? LIMIT_PAUSED : setting->limit;
	value.rate = setting->rate;
	value.weight = setting->weight;
	if (wanted->group != 0)
		return value;
	value.group_limit = setting->group_limit;
	value.group_rate = setting->group_rate;
	value.strict = setting->strict;
	value.group_overrides = has_overrides(kind, wanted->id);
	return value;
}

/* A change of a group's row, which is committed: "telling" of its parent is counted */
static void
tell_group(int kind, int id, int group)
{
	const LimitChange change = {.kind = kinds[kind], .id = id, .group = group_hash(group)};

	if (limits_changed(DATABASE, &change, 1))
		process_set_latch(scheduler);
	settings[kind][id].telling--;
	model_told(kind, id, group);
}

void
release_hold(int kind, int id, int group)
{
	if (!group_settings[kind][id][group].held)
		return;
	group_settings[kind][id][group].held = false;
	generation++;
	settings[kind][id].telling++;
	process_yield(false);
	tell_group(kind, id, group);
}

/* Change a row of settings; "group" 0: of the function, queue or endpoint itself */
void
change_setting(int kind, int id, int group, const Setting *value)
{
	Setting    *parent = &settings[kind][id];
	Setting    *setting = group != 0 ? &group_settings[kind][id][group] : parent;
	LimitChange change = {.kind = kinds[kind], .id = id};

	setting->set = value->set;
	setting->paused = value->paused;
	setting->limit = value->limit;
	setting->group_limit = value->group_limit;
	setting->strict = value->strict;
	setting->holds = value->holds;
	setting->rate = value->rate;
	setting->group_rate = value->group_rate;
	setting->weight = value->weight;
	generation++;
	parent->telling++;
	change.limit = setting->paused ? LIMIT_PAUSED : setting->limit;
	change.rated = setting->rate.interval != 0;
	if (group != 0)
		change.group = group_hash(group);
	process_yield(false);
	if (limits_changed(DATABASE, &change, 1))
		process_set_latch(scheduler);
	parent->telling--;
	model_told(kind, id, group);
	process_set_latch(scheduler);	/* jobs may move */
	for (int g = 1; kind < 2 && g <= GROUPS && !(parent->strict && parent->holds); g++)
		release_hold(kind, id, g);
}

/* ------------------------------------------------------------------------
 * Jobs
 * ------------------------------------------------------------------------ */

FlowJob *
find_job(int64 id)
{
	for (int i = 0; i < JOBS; i++)
	{
		if (jobs[i].used && jobs[i].job.id == id)
			return &jobs[i];
	}
	return NULL;
}

bool
lock_row(FlowJob *row)
{
	Process    *me = current_process;

	if (row->writer == me)
		return true;
	if (row->writer != NULL || !row->used)
		return false;
	row->writer = me;
	row->next = row->job;
	row->deleted = row->failed = row->notify = false;
	me->rows[me->nrows++] = row;
	return true;
}

/* The session's transaction inserts a job; NULL: there is no room */
FlowJob *
insert_job(Oid owner, int function, int queue, int group, int priority, TimestampTz run_at,
		   int delivery)
{
	FlowJob    *row = NULL;

	for (int i = 0; i < JOBS && row == NULL; i++)
	{
		if (!jobs[i].used)
			row = &jobs[i];
	}
	if (row == NULL)
		return NULL;
	*row = (FlowJob)
	{
		.function = function, .queue = queue, .group = group, .used = true,
			.delivery = delivery >= 0, .endpoint = Max(delivery, 0), .startable_since = -1
	};
	row->job = (Job)
	{
		.id = ++last_id, .owner = owner, .priority = priority, .run_at = run_at,
			.discard_at = NO_TIME
	};
	set_limits(row, &row->job);
	(void) lock_row(row);
	row->notify = true;
	return row;
}

/* ------------------------------------------------------------------------
 * Transactions
 * ------------------------------------------------------------------------ */

/* What a commit tells of one ready queue */
typedef struct Told
{
	ReadyQueueChoice queue;
	int64		count;
} Told;

static void
tell_queue(const Told *told)
{
	const TimestampTz now = GetCurrentTimestamp();
	TimestampTz next_due = DT_NOEND;
	ReadyAdded	added = ready_queue_add(DATABASE, &told->queue, told->count, now, &next_due);

	if (told->queue.min_key.run_at > now || added == READY_ADDED_TELL || next_due != DT_NOEND)
		process_set_latch(scheduler);
	if (added == READY_ADDED_CLAIM && LIMITS_KEY_IS_DELIVERY(told->queue.limits_key))
		process_set_latch(sender);
	else if (added == READY_ADDED_CLAIM)
	{
		int64		woken = 0;

		for (int i = 0; i < WORKERS && woken < told->count; i++)
		{
			if (!worker_slots[i].woken && !worker_slots[i].blocked &&
				worker_slots[i].state == WORKER_IDLE &&
				worker_slots[i].owner == told->queue.owner)
			{
				process_set_latch(&workers[i]);
				worker_slots[i].woken = true;
				woken++;
			}
		}
		if (woken < told->count)
			process_set_latch(scheduler);
	}
}

static void
add_told(Told *told, int *ntold, const Job *job)
{
	const ReadyKey key = {job->run_at, job->id};
	Told	   *mine = NULL;

	for (int i = 0; i < *ntold && mine == NULL; i++)
	{
		if (told[i].queue.owner == job->owner && told[i].queue.limits_key == job->limits_key &&
			told[i].queue.priority == job->priority)
			mine = &told[i];
	}
	if (mine == NULL)
	{
		mine = &told[(*ntold)++];
		*mine = (Told)
		{
			.queue = {
				.owner = job->owner, .limits_key = job->limits_key, .priority = job->priority,
					.scopes = job->scopes, .min_key = READY_KEY_NONE, .first_order = PG_INT64_MAX
			}
		};
	}
	if (ready_key_before(key, mine->queue.min_key))
		mine->queue.min_key = key;
	mine->queue.first_order = Min(mine->queue.first_order, job_order(job));
	mine->count++;
}

/* The end of a job that has failed for good, as it commits: it may hold its group */
static bool
hold_group(const FlowJob *row)
{
	const int	kind = row->job.order_scope > 0 ? 1 : 0;
	Setting    *parent = &settings[kind][abs(row->job.order_scope)];

	if (!row->failed || row->job.order_scope == 0 || !parent->strict || !parent->holds)
		return false;
	group_settings[kind][abs(row->job.order_scope)][row->group].held = true;
	generation++;
	parent->telling++;
	return true;
}

/* The first job of an order may be another one */
static void
tell_order(const Job *job)
{
	if (limits_order_changed(DATABASE, job->order_scope > 0 ? 'q' : 'f', abs(job->order_scope),
							 job->scopes.group))
		process_set_latch(scheduler);
}

void
transaction_end(void)
{
	static Told told_by[PROCESSES][JOBS];
	static Job	left_by[PROCESSES][JOBS];	/* the order of their groups */
	Process    *me = current_process;
	Told	   *told = told_by[me - processes];
	Job		   *left = left_by[me - processes];
	int			ntold = 0;
	int			nleft = 0;
	FlowJob		held = {0};		/* a transaction ends no more than one that fails */

	process_yield(true);
	for (int i = 0; i < me->nrows; i++)
	{
		FlowJob    *row = me->rows[i];
		const bool	first = !row->visible;

		if (row->job.order_scope != 0 &&
			(row->deleted || row->next.order_scope != row->job.order_scope))
			left[nleft++] = row->job;
		if (row->deleted && hold_group(row))
			held = *row;
		if (row->next.order_scope != row->job.order_scope)
			row->moved = step;
		row->job = row->next;
		if (row->deleted)
			row->used = false;
		else if (row->notify)
			add_told(told, &ntold, &row->job);
		if (first)
			row->seen = step;
		row->visible = true;
		row->writer = NULL;
	}
	me->nrows = 0;
	process_yield(false);
	if (held.used)
		tell_group(held.job.order_scope > 0 ? 1 : 0, abs(held.job.order_scope), held.group);
	for (int i = 0; i < ntold; i++)
		tell_queue(&told[i]);
	for (int i = 0; i < nleft; i++)
		tell_order(&left[i]);
}

void
transaction_abort(void)
{
	Process    *me = current_process;

	for (int i = 0; i < me->nrows; i++)
	{
		if (!me->rows[i]->visible)
			me->rows[i]->used = false;
		me->rows[i]->writer = NULL;
	}
	me->nrows = 0;
}
