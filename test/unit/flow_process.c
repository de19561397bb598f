/*
 * flow_process.c
 *		Processes of the property test: contexts of one thread, the scheduler, the sender, and
 *		sessions.  See flow.h.
 */
#include "flow.h"

#include <ucontext.h>

#include "utils/timestamp.h"

#include "commands/sequence.h"
#include "shmem/ready_queue_slots.h"

#define STACK_SIZE	(512 * 1024)

/* As table/ready_search.c: from one search of a role to its next (microseconds) */
#define SEARCH_PAUSE	(100 * 1000)

/* Jobs behind a long one count as ready: as process/pool.c (microseconds) */
#define HELP_AFTER		(50 * 1000)

/* A delivery that the sender has taken */
typedef struct Transfer
{
	FlowJob    *row;			/* NULL: the entry is free */
	LimitScopes scopes;
	bool		waits;			/* it is counted as one without a token */
	bool		prepared;
	bool		started;
	bool		put_off;
	int64		at;				/* when it begins, or has ended */
} Transfer;

static Transfer transfers[JOBS];

Process		processes[PROCESSES];
Process    *current_process;

static ucontext_t test_context;
static ucontext_t contexts[PROCESSES];
static char stacks[PROCESSES][STACK_SIZE];
static bool serves;				/* the scheduler has loaded the tables */

/* ------------------------------------------------------------------------
 * Contexts
 * ------------------------------------------------------------------------ */

static void
switch_to_test(void)
{
	Process    *me = current_process;

	me->exception_stack = PG_exception_stack;
	statics_save(me->statics);
	current_process = NULL;
	swapcontext(&contexts[me - processes], &test_context);
}

static void
end_process(Process *me)
{
	me->exiting = true;
	worker_ends(me);
	me->alive = false;
	switch_to_test();
}

/* What is to befall the process does, if it may be interrupted */
static void
meet_doom(Process *me, bool interruptible)
{
	if (!interruptible || me->exiting || me->doom == 0 || --me->doom > 0)
		return;
	if (me->fatal)
		end_process(me);
	else if (PG_exception_stack != NULL)
		pg_re_throw();
}

void
process_yield(bool interruptible)
{
	Process    *me = current_process;

	if (me == NULL)
		return;
	meet_doom(me, interruptible);
	if (random_below(3) == 0)
		return;
	switch_to_test();
	meet_doom(me, interruptible);
}

void
process_sleep(int64 until, bool interruptible)
{
	Process    *me = current_process;

	me->wake_at = until;
	while (flow_clock < until)
	{
		me->sleeps = true;
		switch_to_test();
		me->sleeps = false;
		meet_doom(me, interruptible);
	}
}

void
process_wait(int64 until)
{
	Process    *me = current_process;

	me->wake_at = until;
	while (!me->latch && flow_clock < until)
	{
		me->sleeps = me->waits = true;
		switch_to_test();
		me->sleeps = me->waits = false;
		meet_doom(me, true);
	}
	me->latch = false;
}

void
process_set_latch(Process *process)
{
	process->latch = true;
}

void
processes_kill(Process *process)
{
	process->doom = 1 + random_below(20);
	process->fatal = random_below(2) == 0;
}

static void
run_main(int number)
{
	processes[number].main(&processes[number]);
	abort();					/* it has no end */
}

static void
begin_process(Process *process, void (*main) (Process *))
{
	const int	number = (int) (process - processes);
	ucontext_t *context = &contexts[number];
	struct Statics *statics = process->statics;

	*process = (Process)
	{
		.main = main, .alive = true, .wake_at = PG_INT64_MAX, .number = process->number
	};
	process->statics = statics != NULL ? statics_clear(statics) : statics_new();
	getcontext(context);
	context->uc_stack.ss_sp = stacks[number];
	context->uc_stack.ss_size = STACK_SIZE;
	context->uc_link = NULL;
	makecontext(context, (void (*) (void)) run_main, 1, number);
}

static bool
is_runnable(const Process *process)
{
	/* the pool begins when the scheduler has recovered what others left */
	if (!process->alive || (process != scheduler && !serves))
		return false;
	return !process->sleeps || flow_clock >= process->wake_at ||
		(process->latch && process->waits);
}

bool
processes_run(void)
{
	const int	first = random_below(PROCESSES);

	for (int i = 0; i < WORKERS; i++)
	{
		if (!workers[i].alive && serves && random_below(20) == 0)
			begin_process(&workers[i], worker_main);
	}
	for (int i = 0; i < PROCESSES; i++)
	{
		Process    *process = &processes[(first + i) % PROCESSES];

		if (!is_runnable(process))
			continue;
		step++;
		flow_clock += random_below(8);
		current_process = process;
		PG_exception_stack = process->exception_stack;
		statics_restore(process->statics);
		swapcontext(&test_context, &contexts[process - processes]);
		current_process = NULL;
		return true;
	}
	return false;
}

int64
processes_next(void)
{
	int64		next = PG_INT64_MAX;

	for (int i = 0; i < PROCESSES; i++)
	{
		if (processes[i].alive && processes[i].sleeps)
			next = Min(next, processes[i].wake_at);
		else if (!processes[i].alive)
			next = Min(next, flow_clock + 1000);
	}
	return next;
}

bool
processes_all_idle(void)
{
	for (int i = 0; i < WORKERS; i++)
	{
		if (workers[i].alive && !workers[i].idle)
			return false;
	}
	for (int i = 0; i < JOBS; i++)
	{
		if (transfers[i].row != NULL)
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------------
 * The scheduler
 * ------------------------------------------------------------------------ */

void *
palloc(Size size)
{
	return malloc(size);
}

void *
repalloc(void *pointer, Size size)
{
	return realloc(pointer, size);
}

/* Jobs whose claim is of a process that has ended */
static void
recover(void)
{
	bool		any = false;

	for (int i = 0; i < JOBS; i++)
	{
		FlowJob    *row = &jobs[i];

		if (!row->used || !row->visible || !claim_is_left(row->job.claim) || !lock_row(row))
			continue;
		free_row(row, &row->next);
		any = true;
	}
	if (any)
		transaction_end();
}

static void
load_limits(void)
{
	LimitValue	values[8];
	int			n;

	while ((n = limits_to_load(DATABASE, values, lengthof(values))) > 0)
	{
		process_yield(true);
		for (int i = 0; i < n; i++)
			values[i] = read_limit(&values[i]);
		process_yield(true);
		for (int i = 0; i < n; i++)
			limit_loaded(DATABASE, &values[i]);
	}
}

/* Tell of each ready queue of a role, InvalidOid: of all */
static void
search(Oid owner)
{
	for (int i = 0; i < JOBS; i++)
	{
		const FlowJob *row = &jobs[i];
		ReadyQueueChoice queue;
		Job			job = row->job;

		if (!row->used || !row->visible || job.claim != 0 ||
			(OidIsValid(owner) && job.owner != owner))
			continue;
		/* as settings_set_scopes() */
		job.scopes = limit_scopes_of_key(job.limits_key);
		if (LIMITS_KEY_IS_HASHED(job.limits_key))
			set_limits(unconstify(FlowJob *, row), &job);
		if (job.limits_key != row->job.limits_key)
			job.scopes = (LimitScopes) {0};
		queue = (ReadyQueueChoice)
		{
			.owner = job.owner, .limits_key = row->job.limits_key, .priority = job.priority,
				.scopes = job.scopes, .looked_up = true, .min_key = {job.run_at, job.id},
				.ready = 1
		};
		ready_queue_found(DATABASE, &queue, GetCurrentTimestamp());
	}
}

static TimestampTz
search_unlisted(int64 *not_before)
{
	TimestampTz next = DT_NOEND;
	Oid		   *owners;
	int			n = ready_roles_unlisted(DATABASE, GetCurrentTimestamp(), &owners, &next);

	for (int i = 0; i < n; i++)
	{
		int64	   *pause = &not_before[OidIsValid(owners[i]) ? owners[i] - FIRST_OWNER : OWNERS];

		if (*pause > flow_clock)
		{
			next = Min(next, GetCurrentTimestamp() + (*pause - flow_clock));
			continue;
		}
		*pause = flow_clock + SEARCH_PAUSE;
		ready_role_search_begin(DATABASE, owners[i]);
		process_yield(true);
		search(owners[i]);
		ready_role_search_end(DATABASE, owners[i]);
		next = Min(next, GetCurrentTimestamp() + SEARCH_PAUSE);
	}
	free(owners);
	return next;
}

/* Jobs that wait in a worker's batch behind a long one; lowers *next to when they will */
static int64
count_waiting(int owner, TimestampTz *next)
{
	const TimestampTz now = GetCurrentTimestamp();
	int64		n = 0;

	for (int i = 0; i < WORKERS; i++)
	{
		const WorkerSlot *slot = &worker_slots[i];

		if (!workers[i].alive || slot->owner != FIRST_OWNER + owner || slot->nwaiting == 0)
			continue;
		if (slot->current_job != 0 && now - slot->job_started > HELP_AFTER)
			n += slot->nwaiting;
		*next = Min(*next, now + HELP_AFTER);
	}
	return n;
}

/* Wake workers for jobs that are ready: as process/pool.c */
static TimestampTz
offer_jobs(void)
{
	TimestampTz next = DT_NOEND;
	ReadySummary *summaries;
	int			n = ready_summaries(DATABASE, GetCurrentTimestamp(), false, &summaries);
	int64		ready[OWNERS] = {0};

	for (int i = 0; i < n; i++)
	{
		next = Min(next, summaries[i].next_due);
		if (summaries[i].ready == 0 || !summaries[i].capacity)
			continue;
		if (summaries[i].deliveries)
			process_set_latch(sender);
		else
			ready[summaries[i].owner - FIRST_OWNER] += summaries[i].ready;
	}
	free(summaries);
	for (int owner = 0; owner < OWNERS; owner++)
		ready[owner] += count_waiting(owner, &next);
	for (int i = 0; i < WORKERS; i++)
	{
		int			owner = (int) (worker_slots[i].owner - FIRST_OWNER);

		if (worker_slots[i].state != WORKER_IDLE || worker_slots[i].woken ||
			worker_slots[i].blocked || ready[owner] == 0)
			continue;
		ready[owner]--;
		worker_slots[i].woken = true;
		process_set_latch(&workers[i]);
	}
	return next;
}

static TimestampTz
earlier(TimestampTz a, TimestampTz b)
{
	return Min(a, b);
}

static void
scheduler_main(Process *me)
{
	int64		not_before[OWNERS + 1] = {0};

	ready_queues_open(DATABASE);
	recover();
	search(InvalidOid);
	serves = true;
	for (;;)
	{
		TimestampTz next;

		me->latch = false;
		recover();
		load_limits();
		next = search_unlisted(not_before);
		next = earlier(next, offer_jobs());
		process_wait(next == DT_NOEND ? flow_clock + 10 * USECS_PER_SEC :
					 flow_clock + Max(next - GetCurrentTimestamp(), 1));
	}
}

/* ------------------------------------------------------------------------
 * The sender: as delivery/claim.c and delivery/inflight.c
 * ------------------------------------------------------------------------ */

static bool
may_take(Oid owner, bool mails)
{
	return true;
}

static bool
claim_deliveries(TimestampTz *next_check)
{
	static Batch fresh;
	const TimestampTz now = GetCurrentTimestamp();
	ReadyClaim *claim = ready_queue_choose_delivery(DATABASE, may_take, now, next_check);
	ReadyQueueChoice *choice;
	int			places = 1;
	int			max;
	bool		waited = false;

	if (claim == NULL)
		return false;
	choice = &claim->queues[0];
	max = Max(Min(choice->share, 20), 1);
	if (LIMITS_KEY_HAS_LIMITS(choice->limits_key))
	{
		while (places < max && limits_reserve(DATABASE, &choice->scopes, LIMITS_ALL))
			places++;
		max = places;
	}
	fresh.njobs = fresh.ngroups = 0;
	fresh.claim_id = nextval_internal(InvalidOid, false);
	scan_queue(&fresh, choice, max, now);
	transaction_end();
	if (LIMITS_KEY_HAS_LIMITS(choice->limits_key))
	{
		for (; places > Max(fresh.njobs, 1); places--)
			waited = limits_release(DATABASE, &choice->scopes, LIMITS_ALL) || waited;
	}
	if (ready_queue_scan_end(claim, DATABASE, now) || waited)
		process_set_latch(scheduler);
	for (int i = 0; i < fresh.njobs; i++)
	{
		Transfer   *transfer = transfers;

		while (transfer->row != NULL)
			transfer++;
		*transfer = (Transfer)
		{
			.row = find_job(fresh.jobs[i].job.id), .scopes = fresh.jobs[i].job.scopes,
				.waits = choice->planned > 0
		};
	}
	process_set_latch(scheduler);
	return true;
}

static void
prepare_transfer(Transfer *transfer)
{
	Token		token;

	transfer->prepared = true;
	transfer->at = flow_clock;
	model_decides(transfer->row);
	switch (rates_take_token(DATABASE, &transfer->scopes, transfer->waits, &token))
	{
		case TOKEN_LATER:
			transfer->put_off = true;
			transfer->at = flow_clock;
			return;
		case TOKEN_TAKEN:
			transfer->at = token.at;
			model_token(transfer->row, &transfer->scopes, &token);
			break;
		case TOKEN_NOT_NEEDED:
			break;
	}
	transfer->waits = false;
	if (token.waited)
		process_set_latch(scheduler);
}

static void
end_transfer(Transfer *transfer)
{
	FlowJob    *row = transfer->row;
	const bool	succeeded = !transfer->put_off && (plan.draining || random_below(8) != 0);

	while (!lock_row(row))
		process_sleep(flow_clock + 5000, false);
	row->deleted = succeeded;
	if (!succeeded)
	{
		row->next.run_at = GetCurrentTimestamp() + random_below(100000) + 100000;
		free_row(row, &row->next);
	}
	transaction_end();
	if (transfer->started)
		model_ends(row);
	if (transfer->waits && rates_without_token(DATABASE, &transfer->scopes, 1))
		process_set_latch(scheduler);
	if (limits_release(DATABASE, &transfer->scopes, LIMITS_ALL))
		process_set_latch(scheduler);
	transfer->row = NULL;
}

/* Returns when the transfer goes on */
static int64
go_on(Transfer *transfer)
{
	if (!transfer->prepared)
		prepare_transfer(transfer);
	if (transfer->at > flow_clock)
		return transfer->at;
	if (!transfer->started && !transfer->put_off)
	{
		transfer->started = true;
		model_starts(transfer->row, &transfer->scopes);
		transfer->at = flow_clock + random_below(plan.longest);
		return transfer->at;
	}
	end_transfer(transfer);
	return PG_INT64_MAX;
}

static void
sender_main(Process *me)
{
	claims_begin(me);
	for (;;)
	{
		TimestampTz next_check = DT_NOEND;
		int64		next = PG_INT64_MAX;

		me->latch = false;
		while (claim_deliveries(&next_check))
			continue;
		for (int i = 0; i < JOBS; i++)
		{
			const int64 on = transfers[i].row == NULL ? PG_INT64_MAX : go_on(&transfers[i]);

			next = Min(next, on);
		}
		if (next_check != DT_NOEND)
			next = Min(next, flow_clock + Max(next_check - GetCurrentTimestamp(), 0) + 1000);
		me->idle = true;
		process_wait(next);
		me->idle = false;
	}
}

void
processes_begin(void)
{
	serves = false;
	memset(transfers, 0, sizeof(transfers));
	for (int i = 0; i < PROCESSES; i++)
		processes[i].alive = false;
	for (int i = 0; i < WORKERS; i++)
		workers[i].number = i;
	for (int i = 0; i < SESSIONS; i++)
		begin_process(&sessions[i], session_main);
	begin_process(scheduler, scheduler_main);
	begin_process(sender, sender_main);
}
