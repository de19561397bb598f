/*
 * test_virtual_time.c
 *		Fair share between groups: workers that take jobs of the group that was served
 *		least, with costs that are known only when a job has ended.
 */
#include <stddef.h>

#include "harness.h"
#include "pure/virtual_time.h"

#define GROUPS	10
#define WORKERS	8
#define FIRST_MEAN	1000.0

typedef struct Group
{
	VirtualAccount account;
	double		weight;
	double		mean;			/* as the account expects */
	double		longest;		/* quantum */
	double		served;			/* by jobs that have ended */
	bool		ready;			/* it has jobs */
	uint32_t	cost;			/* of its jobs: up to that; some take ten
								 * times as long */
} Group;

typedef struct Run
{
	Group	   *group;			/* NULL: the worker is idle */
	double		since;
	double		until;
	double		charged;
} Run;

static Group groups[GROUPS];
static Run	runs[WORKERS];
static int	ngroups;
static int	nworkers;
static double virtual_time;
static double now;

static void
start(int g, int w)
{
	ngroups = g;
	nworkers = w;
	virtual_time = 0;
	now = 0;
	for (int i = 0; i < g; i++)
		groups[i] = (Group)
	{
		{
			0, 0
		}, 1, FIRST_MEAN, FIRST_MEAN, 0, false, 2000
	};
	for (int i = 0; i < w; i++)
		runs[i].group = NULL;
}

static void
come(Group *group)
{
	group->ready = true;
	virtual_come(&group->account, virtual_time);
}

/* As fair_charge_on() */
static void
charge_on(void)
{
	for (int i = 0; i < nworkers; i++)
	{
		Run		   *run = &runs[i];
		double		used;

		if (run->group == NULL || (used = (now - run->since) / run->group->weight) <= run->charged)
			continue;
		virtual_correct(&run->group->account, run->charged, used);
		run->charged = used;
	}
}

static void
begin(Run *run)
{
	Group	   *least = NULL;
	double		cost;

	charge_on();
	for (int i = 0; i < ngroups; i++)
	{
		if (groups[i].ready && (least == NULL || groups[i].account.finish < least->account.finish))
			least = &groups[i];
	}
	run->group = least;
	if (least == NULL)
		return;
	cost = (1 + random_below(least->cost)) * (random_below(20) == 0 ? 10 : 1);
	if (cost > least->longest)
		least->longest = cost;
	run->since = now;
	run->until = now + cost;
	run->charged = least->mean / least->weight;
	virtual_begin(&least->account, run->charged, &virtual_time);
}

/* The job that ends first does; the worker takes the next */
static void
step(void)
{
	Run		   *first = NULL;

	for (int i = 0; i < nworkers; i++)
	{
		if (runs[i].group == NULL)
			begin(&runs[i]);
	}
	for (int i = 0; i < nworkers; i++)
	{
		if (runs[i].group != NULL && (first == NULL || runs[i].until < first->until))
			first = &runs[i];
	}
	now = first->until;
	virtual_correct(&first->group->account, first->charged,
					(now - first->since) / first->group->weight);
	first->group->mean = (first->group->mean + now - first->since) / 2;
	first->group->served += now - first->since;
	first->group = NULL;
	begin(first);
}

/* Worker time of a group up to now */
static double
service(const Group *group)
{
	double		served = group->served;

	for (int i = 0; i < nworkers; i++)
	{
		if (runs[i].group == group)
			served += now - runs[i].since;
	}
	return served;
}

/* Most that the services of two groups may differ by */
static double
bound(const Group *a, const Group *b)
{
	return (nworkers + 1) * (a->longest / a->weight + b->longest / b->weight);
}

/* Groups that have jobs throughout, of different costs and weights */
static void
test_bound(void)
{
	static const double weights[] = {1, 1, 4, 0.25, 1000, 0.001, 2, 1, 1, 10};
	int			wrong = 0;

	for (int round = 0; round < 60; round++)
	{
		start(2 + random_below(GROUPS - 1), 1 + random_below(WORKERS));
		for (int i = 0; i < ngroups; i++)
		{
			groups[i].weight = round % 2 == 0 ? 1 : weights[i];
			groups[i].cost = 1 + random_below(20000);
			come(&groups[i]);
		}
		for (int n = 0; n < 3000; n++)
		{
			step();
			for (int i = 0; i < ngroups; i++)
			{
				for (int j = 0; j < i; j++)
				{
					double		difference = service(&groups[i]) / groups[i].weight -
						service(&groups[j]) / groups[j].weight;

					if (difference < 0)
						difference = -difference;
					wrong += difference > bound(&groups[i], &groups[j]);
				}
			}
		}
	}
	check(wrong == 0, "%d times two groups differ by more than they may", wrong);
}

/* One that comes late gets its share from then on, and no more: the others go on */
static void
test_newcomer(void)
{
	double		before[GROUPS];

	start(5, 3);
	for (int i = 0; i < 4; i++)
		come(&groups[i]);
	for (int n = 0; n < 20000; n++)
		step();
	for (int i = 0; i < 5; i++)
		before[i] = service(&groups[i]);
	come(&groups[4]);
	for (int n = 0; n < 200; n++)
		step();
	for (int i = 0; i < 4; i++)
	{
		double		of_new = service(&groups[4]);
		double		of_old = service(&groups[i]) - before[i];

		check(of_new - of_old <= bound(&groups[4], &groups[i]), "the newcomer takes %.0f beside %.0f",
			  of_new, of_old);
		check(of_old - of_new <= bound(&groups[4], &groups[i]), "the newcomer gets %.0f beside %.0f",
			  of_new, of_old);
	}
}

/* One that runs empty again and again gets no more than one that does not */
static void
test_running_empty(void)
{
	for (int round = 0; round < 20; round++)
	{
		start(2, 1 + random_below(4));
		come(&groups[0]);
		for (int n = 0; n < 5000; n++)
		{
			if (random_below(2) == 0)
				groups[1].ready = false;
			else if (!groups[1].ready)
				come(&groups[1]);
			step();
		}
		check(service(&groups[1]) - service(&groups[0]) <= bound(&groups[0], &groups[1]),
			  "round %d: one that runs empty gets %.0f, the other one %.0f", round,
			  service(&groups[1]), service(&groups[0]));
	}
}

/* What was charged too much is given back, but not over the time when it was not there */
static void
test_correction(void)
{
	VirtualAccount account = {0, 0};
	double		at = 50;

	virtual_come(&account, at);
	virtual_begin(&account, 100, &at);
	check(account.finish == 150 && at == 50, "charged at the begin");
	virtual_come(&account, 145);
	check(account.finish == 150, "a debt stays");
	virtual_correct(&account, 100, 1);
	check(account.finish == 145, "not below virtual time when it came: %.0f", account.finish);
	virtual_begin(&account, 10, &at);
	virtual_correct(&account, 10, 25);
	check(account.finish == 170 && at == 145, "what took longer is charged");
}

void
test_virtual_time(void)
{
	test_correction();
	test_bound();
	test_newcomer();
	test_running_empty();
}
