/*
 * flow_session.c
 *		Sessions of the property test: they enqueue, cancel, reschedule and lock jobs, and change
 *		settings.  See flow.h.
 */
#include "flow.h"

#include "utils/timestamp.h"

#include "shmem/ready_queue_slots.h"

static Rate
random_rate(void)
{
	static const int64 intervals[] = {1000, 10000, 77777, 600000, 3000000, 20000000};
	Rate		rate = {0, 1};

	if (random_below(3) == 0)
		rate.interval = intervals[random_below(lengthof(intervals))];
	if (random_below(3) == 0)
		rate.burst = 1 + random_below(5);
	return rate;
}

/* Settings of a function, queue or endpoint; of a group */
Setting
random_setting(bool of_group)
{
	static const double weights[] = {0.001, 0.5, 1, 2, 10, 1000};
	Setting		setting = {.limit = LIMIT_NONE, .group_limit = LIMIT_NONE};

	if (random_below(3) == 0)
		setting.limit = 1 + random_below(3);
	if (random_below(3) == 0)
		setting.group_limit = 1 + random_below(2);
	setting.paused = random_below(10) == 0;
	setting.strict = random_below(4) == 0;
	setting.holds = random_below(2) == 0;
	setting.rate = random_rate();
	setting.group_rate = random_rate();
	if (!of_group)
		return setting;
	setting.set = random_below(4) != 0;
	if (setting.limit == LIMIT_NONE && random_below(2) == 0)
		setting.limit = LIMIT_INHERITED;
	if (setting.rate.interval == 0 && random_below(2) == 0)
		setting.rate.interval = RATE_INHERITED;
	setting.weight = weights[random_below(lengthof(weights))];
	return setting;
}

/* Release a group that a failed job holds, if there is one */
static void
release(void)
{
	const int	kind = random_below(2);
	const int	id = 1 + random_below(SCOPES);

	for (int g = 1; g <= plan.ngroups; g++)
	{
		if (random_below(2) == 0)
			release_hold(kind, id, g);
	}
}

/* Change one of the settings */
static void
change(void)
{
	const int	kind = random_below(3);
	const int	id = 1 + random_below(kind == 2 ? ENDPOINTS : SCOPES);
	const int	group = kind < 2 && random_below(2) == 0 ? 1 + random_below(plan.ngroups) : 0;
	Setting		setting = random_setting(group != 0);

	/* where it is only to be paused, or not, for a while */
	if (random_below(3) == 0)
	{
		setting = group != 0 ? group_settings[kind][id][group] : settings[kind][id];
		setting.paused = !setting.paused;
		setting.set = true;
	}
	if (kind == 2)
	{
		setting.group_limit = LIMIT_NONE;
		setting.group_rate = (Rate) {0, 1};
		setting.strict = setting.paused = false;
	}
	change_setting(kind, id, group, &setting);
}

static void
enqueue(void)
{
	const Oid	owner = FIRST_OWNER + random_below(plan.nowners);
	const int	n = random_below(4) == 0 ? 1 + random_below(30) : 1 + random_below(3);
	const bool	delivery = plan.sends && random_below(4) == 0;
	const bool	alike = random_below(2) == 0;	/* but for their groups */
	int			function = 1 + random_below(SCOPES);
	int			queue = random_below(SCOPES + 1);

	for (int i = 0; i < n; i++)
	{
		TimestampTz run_at = GetCurrentTimestamp();

		if (random_below(6) == 0)
			run_at += (int64) plan.pace * random_below(2000000);
		if (!alike)
		{
			function = 1 + random_below(SCOPES);
			queue = random_below(SCOPES + 1);
		}
		(void) insert_job(owner, function, queue, random_below(plan.ngroups + 1),
						  random_below(8) == 0, run_at,
						  delivery ? (int) random_below(ENDPOINTS + 1) : -1);
		if (random_below(8) == 0)
			process_yield(true);
	}
	if (random_below(12) == 0)
		transaction_abort();
	else
		transaction_end();
}

/* Cancel a job that does not run, or have it run at another time */
static void
control(void)
{
	FlowJob    *row = &jobs[random_below(JOBS)];
	const int64 id = row->job.id;
	BatchWithdraw result;

	if (!row->used || !row->visible)
		return;
	result = statics_withdraw(id);
	if (result == BATCH_RUNNING || !row->used || row->job.id != id || !lock_row(row))
		return;
	if (row->job.claim != 0 && result != BATCH_WITHDRAWN)
	{
		transaction_abort();
		return;
	}
	/* it may be in another batch by now */
	if (row->job.claim != 0 && statics_withdraw(id) == BATCH_RUNNING)
	{
		transaction_abort();
		return;
	}
	if (random_below(2) == 0)
		row->deleted = true;
	else
	{
		row->next.run_at = GetCurrentTimestamp() + random_below(500000);
		free_row(row, &row->next);
	}
	if (random_below(4) == 0)
		process_sleep(flow_clock + random_below(200000), false);
	if (random_below(5) == 0)
		transaction_abort();
	else
		transaction_end();
}

/* Let each group of a fair round have jobs throughout */
static void
fill_groups(void)
{
	for (int g = 1; g <= plan.ngroups; g++)
	{
		int			n = 0;

		for (int i = 0; i < JOBS; i++)
			n += jobs[i].used && jobs[i].group == g;
		for (; n < 50; n++)
			(void) insert_job(FIRST_OWNER, 1, plan.queue, g, 0, GetCurrentTimestamp(), -1);
	}
	transaction_end();
}

void
session_main(Process *me)
{
	for (;;)
	{
		process_sleep(flow_clock +
					  (int64) plan.pace * random_below(random_below(10) == 0 && !plan.fair ? 500000 : 5000),
					  false);
		if (plan.draining)
		{
			process_sleep(flow_clock + USECS_PER_SEC, false);
			continue;
		}
		if (plan.fair)
		{
			fill_groups();
			continue;
		}
		switch (random_below(11))
		{
			case 0:
				if (plan.changes)
					change();
				break;
			case 1:
				release();
				break;
			case 2:
			case 3:
				control();
				break;
			default:
				enqueue();
				break;
		}
	}
}

/* All settings are taken away, one after the other, so that what is left can run */
void
lift_all(void)
{
	Setting		none = {.limit = LIMIT_NONE, .group_limit = LIMIT_NONE, .rate = {0, 1}, .group_rate = {0, 1}};
	Setting		inherited = {.limit = LIMIT_INHERITED, .rate = {RATE_INHERITED, 1}};

	for (int id = 1; id <= SCOPES; id++)
	{
		for (int kind = 0; kind < 3; kind++)
		{
			for (int g = 1; kind < 2 && g <= GROUPS; g++)
				change_setting(kind, id, g, &inherited);
			change_setting(kind, id, 0, &none);
		}
	}
}
