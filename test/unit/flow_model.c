/*
 * flow_model.c
 *		What must hold in the property test, by looking at all jobs again: see flow.h.
 *
 * A change of settings holds for what is decided after others were told of it: an attempt
 * that looked before that may begin under the old ones.
 */
#include "flow.h"

#include "utils/timestamp.h"

#include "shmem/ready_queue_slots.h"

/*
 * A job that may start waits for an idle worker no longer (microseconds); with the pauses
 * of searches for queues that have no slot
 */
#define IDLE_MAX	(250 * 1000)
#define SEARCH_MAX	(5 * USECS_PER_SEC)

/* A process wakes up too late by so much (microseconds) */
#define WAKE_LATE	2000

/* One that waits in a batch may be taken over when the job before it has run for so long */
#define BEHIND_MAX	(50 * 1000)

FlowPlan	plan;

/* The starts of a fair round, by group */
static int	starts[100];
static int64 nstarts;

static int64 violations;

void
model_begin(void)
{
	nstarts = 0;
	violations = 0;
}

/* For a debugger: break here, go up to the frame of the check */
void
flow_violated(void)
{
	violations++;
}

/* A message, of the first few of a round */
static void
complain(bool ok, const char *what, const FlowJob *row, int64 number)
{
	if (violations < 3)
		check(ok, "at %.6f s, step " UINT64_FORMAT ": %s (" INT64_FORMAT "): job " INT64_FORMAT
			  " of function %d, queue %d, group %d", flow_clock / 1e6, step, what, number,
			  row != NULL ? row->job.id : 0, row != NULL ? row->function : 0,
			  row != NULL ? row->queue : 0, row != NULL ? row->group : 0);
	if (!ok)
		flow_violated();
}

/* ------------------------------------------------------------------------
 * Limits of a job
 * ------------------------------------------------------------------------ */

/* One of the limits that a job is under */
typedef struct Part
{
	int			kind;
	int			id;
	bool		of_group;
} Part;

static int
id_of(const FlowJob *row, int kind)
{
	return kind == 0 ? row->function : kind == 1 ? row->queue : row->endpoint;
}

static int
id_in_scopes(const LimitScopes *scopes, int kind)
{
	return kind == 0 ? scopes->function_id : kind == 1 ? scopes->queue_id : scopes->endpoint_id;
}

static bool
is_under(const LimitScopes *scopes, Part part)
{
	return id_in_scopes(scopes, part.kind) == part.id && (!part.of_group || scopes->group != 0);
}

static Setting *
setting_of(const FlowJob *row, Part part)
{
	return part.of_group ? &group_settings[part.kind][part.id][row->group] :
		&settings[part.kind][part.id];
}

/* The limits that a job is under, by its settings or by the places that were taken for it */
static int
parts_of(const FlowJob *row, const LimitScopes *scopes, Part *parts)
{
	int			n = 0;

	for (int kind = 0; kind < 3; kind++)
	{
		const int	id = scopes != NULL ? id_in_scopes(scopes, kind) : id_of(row, kind);

		if (id == 0)
			continue;
		parts[n++] = (Part) {kind, id, false};
		if (kind < 2 && row->group != 0)
			parts[n++] = (Part) {kind, id, true};
	}
	return n;
}

/* PG_INT32_MAX: none */
static int
limit_of(const FlowJob *row, Part part)
{
	const Setting *parent = &settings[part.kind][part.id];
	const Setting *setting = setting_of(row, part);
	int			limit = setting->limit;

	if (part.of_group && (!setting->set || limit == LIMIT_INHERITED))
		limit = parent->group_limit;
	if ((!part.of_group || setting->set) && setting->paused)
		limit = 0;
	if (part.of_group && setting->held)
		limit = 0;
	if (limit < 0)
		limit = PG_INT32_MAX;
	return part.of_group && parent->strict ? Min(limit, 1) : limit;
}

static Rate
rate_of(const FlowJob *row, Part part)
{
	const Setting *parent = &settings[part.kind][part.id];
	const Setting *setting = setting_of(row, part);
	Rate		rate = part.of_group ? parent->group_rate : setting->rate;

	if (part.of_group && setting->set && setting->rate.interval != RATE_INHERITED)
		rate.interval = setting->rate.interval;
	return rate;
}

/* How many jobs run with a place under that limit */
static int
running_under(const FlowJob *row, Part part)
{
	int			n = 0;

	for (int i = 0; i < JOBS; i++)
	{
		if (jobs[i].used && jobs[i].running && (!part.of_group || jobs[i].group == row->group) &&
			is_under(&jobs[i].started_under, part))
			n++;
	}
	return n;
}

/* Check whether a change of that limit has been told since, or is about to be */
static bool
has_changed(const FlowJob *row, Part part, uint64 since)
{
	return settings[part.kind][part.id].telling > 0 ||
		settings[part.kind][part.id].changed >= since || setting_of(row, part)->changed >= since;
}

/* ------------------------------------------------------------------------
 * Events
 * ------------------------------------------------------------------------ */

void
model_decides(FlowJob *row)
{
	row->asked = step;
}

/* At most N + burst - 1 of N intervals: the last token against each of those before it */
static void
check_rate(FlowJob *row, Setting *setting, const Rate *rate)
{
	const int64 last = setting->tokens[setting->ntokens - 1];

	for (int i = 0; i < setting->ntokens - 1; i++)
	{
		const int64 later = setting->ntokens - 1 - i;
		const int64 least = (later - (rate->burst - 1)) * rate->interval;

		complain(last - setting->tokens[i] >= least, "a token too many", row, last - setting->tokens[i]);
	}
}

static void
add_token(Setting *setting, int64 at)
{
	int			i;

	if (setting->ntokens == lengthof(setting->tokens))
		memmove(setting->tokens, setting->tokens + 1, --setting->ntokens * sizeof(int64));
	/* under several limits they do not come in order */
	for (i = setting->ntokens++; i > 0 && setting->tokens[i - 1] > at; i--)
		setting->tokens[i] = setting->tokens[i - 1];
	setting->tokens[i] = at;
}

void
model_token(FlowJob *row, const LimitScopes *scopes, const Token *token)
{
	Part		parts[6];
	const int	n = parts_of(row, scopes, parts);

	row->token = true;
	complain(token->at <= flow_clock + RATE_WAIT, "a token that lies too far ahead", row,
			 token->at - flow_clock);
	for (int i = 0; i < n; i++)
	{
		Setting    *setting = setting_of(row, parts[i]);
		const Rate	rate = rate_of(row, parts[i]);

		/* a token counts with the rate as shared memory had it, which may be the one before */
		if (rate.interval == 0 || settings[parts[i].kind][parts[i].id].telling > 0)
			continue;
		add_token(setting, token->at);
		check_rate(row, setting, &rate);
	}
	for (int i = 0; i < token->nused; i++)
	{
		const RateUsed *used = &token->used[i];
		const int	kind = (int) (strchr(kinds, used->kind) - kinds);

		if (used->group == 0)
			settings[kind][used->id].used = used->until;
		else
			group_settings[kind][used->id][row->group].used = used->until;
	}
}

/* The first in the order of the job's group that others can see since before the claim */
static void
check_order(const FlowJob *row)
{
	for (int i = 0; i < JOBS; i++)
	{
		const FlowJob *other = &jobs[i];

		if (other == row || !other->used || !other->visible || other->group != row->group ||
			other->job.order_scope != row->job.order_scope)
			continue;
		complain(!other->running || !other->ordered, "another one of its strict group runs", row, other->job.id);
		complain(other->job.id > row->job.id || other->seen >= row->claimed ||
				 other->moved >= row->claimed,
				 "one before it has not ended", row, other->job.id);
	}
}

static void
count_start(const FlowJob *row)
{
	double		sum = 0;
	int			of_group[GROUPS + 1] = {0};

	starts[nstarts++ % lengthof(starts)] = row->group;
	if (nstarts < 2 * (int64) lengthof(starts))
		return;					/* how long jobs take was not known */
	for (int i = 0; i < (int) lengthof(starts); i++)
		of_group[starts[i]]++;
	for (int g = 1; g <= plan.ngroups; g++)
		sum += plan.weights[g];
	for (int g = 1; g <= plan.ngroups; g++)
	{
		const double share = of_group[g] / (double) lengthof(starts);
		const double wanted = plan.weights[g] / sum;

		complain(share > wanted - 0.1 && share < wanted + 0.1, "another share than its weight's", row,
				 (int64) (share * 1000));
	}
}

void
model_starts(FlowJob *row, const LimitScopes *scopes)
{
	Part		parts[6];
	const int	n = parts_of(row, scopes, parts);

	complain(row->used && row->visible && !row->running && row->job.claim != 0, "it runs already, or is gone", row, 0);
	complain(row->job.run_at <= GetCurrentTimestamp(), "it is not due", row,
			 row->job.run_at - GetCurrentTimestamp());
	row->running = true;
	row->started_under = *scopes;
	row->startable_since = -1;
	for (int i = 0; i < n; i++)
	{
		const int	running = running_under(row, parts[i]);

		if (has_changed(row, parts[i], Min(row->asked, row->claimed)))
			continue;
		complain(running <= limit_of(row, parts[i]),
				 parts[i].of_group ? "over the limit of its group" : "over the limit", row, running);
		complain(rate_of(row, parts[i]).interval == 0 || row->token, "it has no token", row, 0);
	}
	if (row->ordered)
		check_order(row);
	if (plan.fair && !plan.draining)
		count_start(row);
	row->token = false;
}

void
model_ends(FlowJob *row)
{
	row->running = false;
}

/* Others have been told of a change */
void
model_told(int kind, int id, int group)
{
	for (int g = 0; g <= (kind < 2 ? GROUPS : 0); g++)
	{
		FlowJob		like = {.group = g};
		const Part	part = {kind, id, g != 0};
		Setting    *setting = setting_of(&like, part);
		const Rate	rate = rate_of(&like, part);

		plan.changed = flow_clock;
		if (group != 0 && g != group)
			continue;
		setting->changed = step;
		if (rate.interval != setting->rated.interval || rate.burst != setting->rated.burst)
			setting->ntokens = 0;
		setting->rated = rate;
	}
}

/* ------------------------------------------------------------------------
 * No worker is idle while a job may start
 * ------------------------------------------------------------------------ */

/* What was used before a restart or a change counts as all that can be */
static bool
has_token(const FlowJob *row, Part part)
{
	const Setting *setting = setting_of(row, part);
	const Rate	rate = rate_of(row, part);
	int64		used = Max(plan.restarted, plan.changed) + RATE_WAIT + rate.burst * rate.interval;

	if (rate.interval == 0)
		return true;
	if (plan.few_slots)
		return false;			/* it may have been forgotten */
	for (int i = 0; i < setting->ntokens; i++)
		used = Max(used, setting->tokens[i]) + rate.interval;
	return flow_clock >= used - (rate.burst - 1) * rate.interval;
}

static bool
is_first_in_order(const FlowJob *row, int order_scope)
{
	for (int i = 0; i < JOBS; i++)
	{
		if (jobs[i].used && jobs[i].visible && jobs[i].group == row->group && &jobs[i] != row &&
			jobs[i].job.id < row->job.id &&
			(order_scope > 0 ? jobs[i].queue == order_scope : jobs[i].function == -order_scope))
			return false;
	}
	return true;
}

/*
 * Check whether a job waits in the batch of a worker, behind one that runs for long, which is
 * not before it in an order that the batch keeps
 */
static bool
waits_behind(const FlowJob *row)
{
	for (int i = 0; i < WORKERS; i++)
	{
		const WorkerSlot *slot = &worker_slots[i];

		if (!workers[i].alive || slot->current_job == 0 ||
			GetCurrentTimestamp() - slot->job_started < BEHIND_MAX)
			continue;
		for (int e = 0; e < slot->nentries; e++)
		{
			if (slot->entries[e].job_id == row->job.id && slot->entries[e].state == ENTRY_WAITING)
				return !row->ordered || find_job(slot->current_job)->group != row->group;
		}
	}
	return false;
}

static bool
may_start(const FlowJob *row)
{
	Part		parts[6];
	const int	n = parts_of(row, NULL, parts);
	Job			job = row->job;

	if (!row->used || !row->visible || row->writer != NULL || job.run_at > GetCurrentTimestamp() ||
		(job.claim != 0 && !waits_behind(row)))
		return false;
	for (int i = 0; i < n; i++)
	{
		if (running_under(row, parts[i]) >= limit_of(row, parts[i]) || !has_token(row, parts[i]))
			return false;
	}
	set_limits(unconstify(FlowJob *, row), &job);
	return job.order_scope == 0 || is_first_in_order(row, job.order_scope);
}

static bool
worker_is_idle(const FlowJob *row)
{
	/* with few slots a role's queues for workers may take all that it has */
	if (row->delivery && plan.few_slots)
		return false;
	for (int i = 0; i < WORKERS; i++)
	{
		/* the sender steals nothing of what waits in batches, with its group's place */
		if (row->delivery && worker_slots[i].nwaiting > 0)
			return false;
		if (!row->delivery && workers[i].alive && workers[i].idle &&
			worker_slots[i].owner == row->job.owner)
			return true;
	}
	return row->delivery;
}

/* When the first process wakes up that would find jobs of a role, or its deliveries */
static int64
first_wake_up(const ReadyBundle *bundle)
{
	int64		at = scheduler->wake_at;

	if (LIMITS_KEY_IS_DELIVERY(bundle->tag.kinds))
		return Min(at, sender->wake_at);
	for (int i = 0; i < WORKERS; i++)
	{
		if (workers[i].alive && workers[i].idle && worker_slots[i].owner == bundle->tag.owner)
			at = Min(at, workers[i].wake_at);
	}
	return at;
}

/*
 * All processes wait.  The scheduler, or a worker that has found that, does no longer than until
 * the next ready queue is due, or has a token.
 */
static void
check_wake_ups(void)
{
	const TimestampTz now = GetCurrentTimestamp();
	ReadyDatabase *db = ready_database(DATABASE);
	dlist_iter	roles;
	dlist_iter	bundles;
	dlist_iter	queues;

	if (db == NULL || !scheduler->sleeps)
		return;
	dlist_foreach(roles, &db->roles)
	{
		dlist_foreach(bundles, &dlist_container(ReadyRole, node, roles.cur)->bundles)
		{
			const ReadyBundle *bundle = dlist_container(ReadyBundle, node, bundles.cur);
			const TimestampTz wakes = now + (first_wake_up(bundle) - flow_clock);
			TimestampTz due = ready_bundle_opening(bundle);

			dlist_foreach(queues, &unconstify(ReadyBundle *, bundle)->queues)
			{
				const ReadyQueue *queue = dlist_container(ReadyQueue, node, queues.cur);

				/* a claim that is under way tells when it has ended */
				if (queue->place == PLACE_LATER && queue->nclaims == 0)
					due = Min(due, queue->due);
			}
			complain(due == DT_NOEND || wakes <= Max(due, now) + WAKE_LATE,
					 "all sleep too long", NULL, wakes - due);
		}
	}
}

void
model_quiet(void)
{
	const int64 max = plan.few_slots ? SEARCH_MAX : IDLE_MAX;

	check_wake_ups();
	for (int i = 0; i < JOBS; i++)
	{
		FlowJob    *row = &jobs[i];

		if (!may_start(row) || !worker_is_idle(row))
			row->startable_since = -1;
		else if (row->startable_since < 0)
			row->startable_since = flow_clock;
		else
			complain(flow_clock - row->startable_since <= max, "a worker is idle", row,
					 flow_clock - row->startable_since);
	}
}

/* Nothing is claimed: nothing is counted */
void
model_idle(void)
{
	HASH_SEQ_STATUS scan;
	LimitSlot  *slot;
	ReadyDatabase *db = ready_database(DATABASE);
	dlist_iter	roles;
	dlist_iter	queues;

	hash_seq_init(&scan, limits_table());
	while ((slot = hash_seq_search(&scan)) != NULL)
	{
		complain(slot->running == 0 && slot->choosing == 0, "places are left", NULL, slot->running);
		complain(slot->planned == 0 && slot->waiting == 0, "jobs without a token are left", NULL,
				 slot->planned + slot->waiting);
	}
	if (db == NULL)
		return;
	dlist_foreach(roles, &db->roles)
	{
		dlist_foreach(queues, &dlist_container(ReadyRole, node, roles.cur)->fair_queues)
			complain(dlist_container(FairQueue, node, queues.cur)->ncharges == 0, "charges are left",
					 NULL, 0);
	}
}
