/*
 * test_limit_shares.c
 *		Slots of limits, and two roles: what one has very many of is lost to the other neither
 *		in memory nor in time.
 *
 * Nothing runs at the same time here: flow.h has the test of that.
 */
#include "flow.h"

#include "utils/timestamp.h"

#include "base/guc.h"
#include "shmem/ready_queue_slots.h"

#define MARY		FIRST_OWNER
#define VERA		(FIRST_OWNER + 1)

/* More than there are slots of limits for eight ready queues */
#define MANY		20000

#define INTERVAL	(10 * USECS_PER_SEC)

/* Functions from here on have a rate for each group, the others one for all jobs */
#define WITH_GROUPS	1000000

static const Rate one = {INTERVAL, 1};
static const Rate five = {INTERVAL, 5};
static const Rate none = {0, 1};

static LimitScopes
scopes_of(int32 function, int64 group)
{
	return (LimitScopes) {.function_id = function, .group = group};
}

/* A job of that role that is due: its limits have slots from then on */
static ReadyQueueChoice
enqueue(Oid owner, int32 function, int64 group)
{
	TimestampTz next = DT_NOEND;
	ReadyQueueChoice queue = {
		.owner = owner, .scopes = scopes_of(function, group), .looked_up = true,
		.min_key = {GetCurrentTimestamp(), 1}, .ready = 1
	};

	queue.limits_key = limits_key_of(&queue.scopes, 0);
	(void) ready_queue_add(DATABASE, &queue, 1, GetCurrentTimestamp(), &next);
	return queue;
}

/* Its ready queue is empty: its limits are not needed any more */
static void
leave(const ReadyQueueChoice *queue)
{
	ReadyQueue *slot = ready_queue_slot(queue, DATABASE);

	if (check(slot != NULL, "a queue has no slot"))
		ready_queue_free(slot);
}

/* Read limits as the scheduler does, "most" of them; returns whether that of a function was read */
static bool
load(int most, int32 function)
{
	LimitValue	values[64];
	int			n = limits_to_load(DATABASE, values, Min(most, lengthof(values)));
	bool		found = false;

	for (int i = 0; i < n; i++)
	{
		found = found || values[i].id == function;
		if (values[i].group == 0)
		{
			values[i].rate = values[i].id >= WITH_GROUPS ? none : five;
			values[i].group_rate = values[i].id >= WITH_GROUPS ? one : none;
		}
		limit_loaded(DATABASE, &values[i]);
	}
	return found;
}

/* A job of that role begins, at once, if there is a token */
static bool
begins(Oid owner, int32 function, int64 group)
{
	ReadyQueueChoice queue = enqueue(owner, function, group);
	LimitScopes scopes = queue.scopes;
	Token		token;
	bool		taken;

	(void) load(64, 0);
	taken = rates_take_token(DATABASE, &scopes, false, &token) == TOKEN_TAKEN;
	leave(&queue);
	return taken && token.at == flow_clock;
}

static void
test_rates(void)
{
	int			begun = 0;

	check(begins(VERA, 1, 0), "a first job does not begin");
	for (int group = 1; group <= MANY; group++)
		begun += begins(MARY, WITH_GROUPS + group % 100, group);
	check(begun < MANY, "no slot has been given away");
	check(!begins(MARY, WITH_GROUPS + 1, 1), "a group whose slot was given away begins too early");
	check(begins(VERA, 1, 0), "another role's limit has lost its burst");
	for (int32 function = 2; function < 1000; function++)
	{
		if (!check(begins(VERA, function, 0), "new limits of another role have no burst"))
			break;
	}
	flow_clock += 2 * INTERVAL;
	check(begins(MARY, WITH_GROUPS + 1, 1), "no token comes");
}

static void
test_turns(void)
{
	for (int group = 1; group <= 300; group++)
	{
		ReadyQueueChoice queue = enqueue(MARY, WITH_GROUPS + group, 1);

		leave(&queue);
	}
	(void) enqueue(VERA, 1, 0);
	check(load(16, 1), "another role's limit is not among the first that are read");
}

void
test_limit_shares(void)
{
	void		(*const tests[]) (void) = {test_rates, test_turns};

	for (int i = 0; i < lengthof(tests); i++)
	{
		flow_clock = 0;
		defer_shared_slots = 8;
		server_begin();
		ready_queues_open(DATABASE);
		flow_clock += 10 * INTERVAL;
		tests[i] ();
	}
}
