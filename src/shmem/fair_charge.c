/*
 * fair_charge.c
 *		What is charged to the accounts of fair queues: see fair_queue.h.
 */
#include "postgres.h"

#include "storage/lwlock.h"

#include "base/timer.h"
#include "shmem/fair_queue.h"
#include "shmem/ready_queue_slots.h"

/* A delivery, or a task, takes no worker of the server: each counts the same (microseconds) */
#define DELIVERY_COST	1000

/* What a claim takes of one group should take so long, if others have jobs (microseconds) */
#define QUANTUM			(10 * 1000)

/* Those of one group in a claim, likewise */
#define DELIVERY_QUANTUM	10

/* ------------------------------------------------------------------------
 * Use of the last minute
 * ------------------------------------------------------------------------ */

/* Let the windows of a minute be those of that time */
static void
turn_windows(FairMinute *use, int64 clock)
{
	int64		minute = clock / USECS_PER_MINUTE;

	if (minute == use->minute)
		return;
	use->before = minute == use->minute + 1 ? use->now : 0;
	use->now = 0;
	use->minute = minute;
}

static void
add_use(FairAccount *account, int64 clock, double microseconds)
{
	turn_windows(&account->minute, clock);
	turn_windows(&account->queue->minute, clock);
	account->minute.now += microseconds;
	account->queue->minute.now += microseconds;
}

/* As much of the minute before counts as is less than a minute ago */
static double
use_of(FairMinute use, int64 clock)
{
	turn_windows(&use, clock);
	return use.now +
		use.before * (1 - (double) (clock % USECS_PER_MINUTE) / USECS_PER_MINUTE);
}

/* ------------------------------------------------------------------------
 * Charges
 * ------------------------------------------------------------------------ */

/* A ready queue of the account can be claimed, or one less */
void
fair_ready(FairAccount *account, bool ready)
{
	if (ready && account->nready++ == 0)
		account->queue->nready++;
	else if (!ready && --account->nready == 0)
		account->queue->nready--;
}

/* The first ready queue of the account that can be claimed comes */
void
fair_come(FairAccount *account)
{
	virtual_come(&account->virtual, account->queue->virtual_time);
}

static double
weight_of(const LimitSlot *of_function, const LimitSlot *of_queue)
{
	if (of_function != NULL && of_function->weight > 0)
		return of_function->weight;
	return of_queue != NULL && of_queue->weight > 0 ? of_queue->weight : 1;
}

/* The weight of a group by its name, of a slot that may be gone */
static double
weight_by_scopes(Oid database, const LimitScopes *scopes)
{
	LimitTag	tags[LIMITS_OF_KEY];
	LimitSlot  *slots[LIMITS_OF_KEY] = {NULL};

	limit_tags(database, scopes, true, tags);
	for (int i = 0; i < LIMITS_OF_KEY; i++)
	{
		if (tags[i].id != 0)
			slots[i] = hash_search(limits_table(), &tags[i], HASH_FIND, NULL);
	}
	return weight_of(slots[0], slots[1]);
}

/* Correct a charge; the tag moves */
static void
correct(FairAccount *account, double charged, double cost)
{
	VirtualAccount moved = account->virtual;

	virtual_correct(&moved, charged, cost);
	ready_move_account(account, &moved);
}

/* Add to the account what its running jobs have used beyond what was charged */
bool
fair_charge_on(FairAccount *account, int64 clock)
{
	VirtualAccount moved = account->virtual;
	dlist_iter	iter;
	bool		any = false;

	dlist_foreach(iter, &account->runs)
	{
		FairRun    *run = dlist_container(FairRun, node, iter.cur);
		double		used = Max(clock - run->since, 0);

		if (used > run->counted)
		{
			add_use(account, clock, used - run->counted);
			run->counted = used;
		}
		if (used / run->weight <= run->charged)
			continue;
		virtual_correct(&moved, run->charged, used / run->weight);
		run->charged = used / run->weight;
		any = true;
	}
	if (any)
		ready_move_account(account, &moved);
	return any;
}

int
fair_quantum(const ReadyQueue *slot, int max)
{
	const FairAccount *account = slot->account;
	double		jobs;

	if (account == NULL || account->queue->nready <= 1)
		return max;
	if (LIMITS_KEY_IS_OUTSIDE(slot->tag.limits_key))
		return DELIVERY_QUANTUM;
	jobs = QUANTUM / Max(account->mean, 1);
	return jobs < 1 ? 1 : jobs < max ? (int) jobs : max;
}

void
fair_choose(ReadyQueue *slot, ReadyQueueChoice *chosen)
{
	FairAccount *account = slot->account;
	VirtualAccount moved;
	double		jobs = Max(Min(slot->ready, chosen->share), 1);

	chosen->charge = (FairCharge) {account != NULL, account != NULL, 0};
	if (account == NULL)
		return;
	moved = account->virtual;
	if (moved.finish < slot->bundle->floor)
		virtual_come(&moved, slot->bundle->floor);
	chosen->charge.amount = jobs * account->mean / weight_of(slot->groups[0], slot->groups[1]);
	virtual_begin(&moved, chosen->charge.amount, &account->queue->virtual_time);
	ready_move_account(account, &moved);
	account->ncharges++;
	account->queue->ncharges++;
	fair_free_idle(account->queue);
}

void
fair_choose_more(ReadyQueue *slot, ReadyQueueChoice *chosen, int jobs)
{
	FairAccount *account = slot->account;
	VirtualAccount moved = account->virtual;
	const double amount = jobs * account->mean / weight_of(slot->groups[0], slot->groups[1]);

	virtual_begin(&moved, amount, &account->queue->virtual_time);
	ready_move_account(account, &moved);
	chosen->charge.amount += amount;
}

/* The account that a charge is held on; NULL: it is gone, with all of the role */
static FairAccount *
charged_account(const FairQueueTag *queue, int64 group)
{
	FairAccount *account = fair_account(queue, group);

	return account != NULL && account->ncharges > 0 ? account : NULL;
}

/* A charge is not held any more: it was for that much */
static void
settle(FairAccount *account, double charged, double cost)
{
	ReadyRole  *role = account->queue->role;

	correct(account, charged, cost);
	account->ncharges--;
	account->queue->ncharges--;
	fair_release(account);
	ready_role_release(role);
}

void
fair_chosen(ReadyQueueChoice *chosen, Oid database, bool committed)
{
	const bool	delivery = LIMITS_KEY_IS_OUTSIDE(chosen->limits_key);
	const int	taken = committed ? chosen->taken : 0;
	FairQueueTag tag;
	FairAccount *account;
	double		cost;

	if (!chosen->charge.held)
		return;
	tag = fair_queue_tag(database, chosen->owner, chosen->limits_key & LIMITS_KEY_KINDS,
						 chosen->scopes.queue_id, chosen->priority);
	account = charged_account(&tag, chosen->scopes.group);
	if (account == NULL)
	{
		chosen->charge.held = false;
		return;
	}
	cost = taken * (delivery ? DELIVERY_COST : account->mean) /
		weight_by_scopes(database, &chosen->scopes);
	if (delivery)
		add_use(account, monotonic_now(), (double) taken * DELIVERY_COST);
	if (taken > 0 && !delivery)
	{
		correct(account, chosen->charge.amount, cost);
		chosen->charge.amount = cost;
		return;
	}
	settle(account, chosen->charge.amount, cost);
	chosen->charge.held = false;
}

/* ------------------------------------------------------------------------
 * Batches
 * ------------------------------------------------------------------------ */

static FairQueueTag
tag_of_worker(const WorkerSlot *slot)
{
	return fair_queue_tag(slot->database, slot->owner, 0, slot->scopes.queue_id, slot->priority);
}

static LimitScopes
scopes_of_group(const WorkerSlot *slot, int group)
{
	LimitScopes scopes = slot->scopes;

	scopes.group = slot->groups[group].group;
	return scopes;
}

static void
begin_run(WorkerSlot *slot, int group, int64 clock)
{
	FairCharge *charge = &slot->groups[group].charge;
	const FairQueueTag tag = tag_of_worker(slot);
	const LimitScopes scopes = scopes_of_group(slot, group);
	FairAccount *account = charge->held ? charged_account(&tag, scopes.group) :
		fair_account(&tag, scopes.group);
	FairRun    *run = &slot->run;

	if (account != NULL && !charge->held)
	{
		fair_set_idle(account, false);
		account->ncharges++;
		account->queue->ncharges++;
	}
	*run = (FairRun)
	{
		.account = account, .group = group, .njobs = 1, .since = clock,
			.charged = charge->held ? charge->amount : 0,
			.weight = weight_by_scopes(slot->database, &scopes)
	};
	charge->held = false;
	if (account != NULL)
		dlist_push_tail(&account->runs, &run->node);
}

/* The part of the batch that runs has ended */
static void
end_run(WorkerSlot *slot, int64 clock)
{
	FairRun    *run = &slot->run;
	FairAccount *account = run->account;
	const double used = Max(clock - run->since, 0);
	const double each = used / Max(run->njobs, 1);

	if (account == NULL)
		return;
	dlist_delete(&run->node);
	run->account = NULL;
	add_use(account, clock, Max(used - run->counted, 0));
	account->mean = (account->mean + each) / 2;
	account->queue->mean += (each - account->queue->mean) / 16;
	settle(account, run->charged, used / run->weight);
}

void
fair_run_job(WorkerSlot *slot, int group)
{
	int64		clock;

	if (slot->run.account != NULL && slot->run.group == group)
	{
		slot->run.njobs++;
		return;
	}
	if (slot->run.account == NULL && !slot->groups[group].charge.fair)
		return;
	clock = monotonic_now();
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	end_run(slot, clock);
	if (slot->groups[group].charge.fair)
		begin_run(slot, group, clock);
	LWLockRelease(shared->ready_lock);
}

void
fair_run_end(WorkerSlot *slot, int group)
{
	FairCharge *charge = &slot->groups[group].charge;
	const bool	runs = slot->run.account != NULL && slot->run.group == group;
	int64		clock;

	if (!runs && !charge->held)
		return;
	clock = monotonic_now();
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	if (runs)
		end_run(slot, clock);
	if (charge->held)
	{
		const FairQueueTag tag = tag_of_worker(slot);
		FairAccount *account = charged_account(&tag, slot->groups[group].group);

		if (account != NULL)
			settle(account, charge->amount, 0);
		charge->held = false;
	}
	LWLockRelease(shared->ready_lock);
}

/* ------------------------------------------------------------------------
 * Views
 * ------------------------------------------------------------------------ */

/* Add what runs and is not counted yet to the use of an account and of its fair queue */
static void
add_running(const FairAccount *account, int64 clock, FairUse *use)
{
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		const FairRun *run = &worker_slots[i].run;
		double		used;

		if (run->account == NULL || run->account->queue != account->queue)
			continue;
		used = Min(Max(clock - run->since - run->counted, 0), USECS_PER_MINUTE);
		use->by_all += used;
		use->by_group += run->account == account ? used : 0;
	}
}

int
fair_uses(Oid database, int32 queue_id, int64 group, FairUse *uses, int max)
{
	const int64 clock = monotonic_now();
	ReadyDatabase *db;
	dlist_iter	roles;
	dlist_iter	queues;
	int			n = 0;

	if (shared == NULL)
		return 0;
	LWLockAcquire(shared->ready_lock, LW_SHARED);
	db = ready_database(database);
	if (db == NULL)
	{
		LWLockRelease(shared->ready_lock);
		return 0;
	}
	dlist_foreach(roles, &db->roles)
	{
		dlist_foreach(queues, &dlist_container(ReadyRole, node, roles.cur)->fair_queues)
		{
			FairQueue  *queue = dlist_container(FairQueue, node, queues.cur);
			FairAccount *account;

			if (queue->tag.queue_id != queue_id || n == max ||
				(account = fair_account(&queue->tag, group)) == NULL)
				continue;
			uses[n] = (FairUse)
			{
				queue->tag.owner, use_of(account->minute, clock),
					use_of(queue->minute, clock)
			};
			add_running(account, clock, &uses[n++]);
		}
	}
	LWLockRelease(shared->ready_lock);
	return n;
}
