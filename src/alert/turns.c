/*
 * turns.c
 *		The scheduler's task for alerts: which rules have their turn.
 *
 * A turn looks at due items, the oldest first: messages whose group_window is
 * over, and conditions that no job's end tells of.  The rules of one role have
 * a share of each turn, and each rule a subtransaction of its own: no role
 * holds up the alerts of another, nor the scheduler's other tasks.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/own_sql.h"
#include "base/own_transaction.h"
#include "base/subtransaction.h"
#include "base/timer.h"
#include "alert/alert.h"
#include "alert/rule.h"

/* A rule that another session has locked is looked at again after this */
#define LOCKED_AGAIN	USECS_PER_SEC

/* Events are looked at no more often than this, however many there are */
#define SCAN_PAUSE		(200 * 1000)

/* A rule that failed is tried again after this */
#define RULE_AGAIN	USECS_PER_MINUTE

/* Time for the rules of one role in one turn; each role has one rule at least */
#define OWNER_SHARE	(50 * 1000)

/* What the scheduler keeps about a rule */
typedef struct RuleState
{
	int32		id;				/* hash key */
	unsigned int turn;			/* the last in which the rule was there */
	TimestampTz send_at;		/* not before: it has failed; 0: at any time */
	TimestampTz check_at;		/* conditions */
} RuleState;

/* A rule that there is something to do for */
typedef struct DueRule
{
	AlertRule  *rule;
	RuleState  *state;
	bool		check;
	bool		send;
	TimestampTz at;
} DueRule;

/* Microseconds that the rules of an owner have taken in this turn */
typedef struct OwnerTime
{
	Oid			owner;
	int64		spent;
} OwnerTime;

static HTAB *rule_states = NULL;
static unsigned int turn = 0;

/* What is done for a rule, in a subtransaction */
typedef struct RuleTurn
{
	const DueRule *due;
	bool		send;			/* what it has; or else check its conditions */
	TimestampTz now;
	TimestampTz again;			/* out: when to do it next */
} RuleTurn;

static void
perform_turn(void *arg)
{
	RuleTurn   *rule_turn = arg;

	if (rule_turn->send)
	{
		if (alert_rule_lock(rule_turn->due->rule))
			alert_rule_send(rule_turn->due->rule);
		else
			rule_turn->again = rule_turn->now + LOCKED_AGAIN;
	}
	else
		rule_turn->again = alert_conditions_check(rule_turn->due->rule, rule_turn->now);
}

/*
 * Send what a rule has, or else check its conditions, in a subtransaction.  An error
 * is reported, and this is tried again in a while: it holds up the rules of no other
 * role, nor what else this one is about.
 */
static void
try_rule(const DueRule *due, bool send, TimestampTz now)
{
	RuleTurn	rule_turn = {due, send, now, 0};
	ErrorData  *error = subtransaction_try(perform_turn, &rule_turn);

	if (error != NULL)
	{
		if (subtransaction_interrupted(error))
			ReThrowError(error);
		if (error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE)
			rule_turn.again = now + SCAN_PAUSE; /* another session has just
												 * changed the alert */
		else
		{
			rule_turn.again = now + RULE_AGAIN;
			ereport(LOG,
					(errcode(error->sqlerrcode),
					 send ?
					 errmsg("alert \"%s\" could not be sent: %s", due->rule->name,
							error->message) :
					 errmsg("conditions of alert \"%s\" could not be checked: %s",
							due->rule->name, error->message),
					 errhint("It is tried again in a minute.")));
		}
		FreeErrorData(error);
	}
	*(send ? &due->state->send_at : &due->state->check_at) = rule_turn.again;
}

static RuleState *
rule_state(const AlertRule *rule, TimestampTz now)
{
	RuleState  *state;
	bool		found;

	if (rule_states == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(int32);
		control.entrysize = sizeof(RuleState);
		rule_states = hash_create("defer alerts: due", 64, &control, HASH_ELEM | HASH_BLOBS);
	}
	state = hash_search(rule_states, &rule->id, HASH_ENTER, &found);
	if (!found)
		state->send_at = state->check_at = 0;
	state->turn = turn;

	/* the clock was set back */
	if (state->send_at > now + RULE_AGAIN)
		state->send_at = now;
	if (state->check_at > now + RULE_AGAIN)
		state->check_at = now;
	return state;
}

/* Forget the states of rules that are gone */
static void
forget_states(void)
{
	HASH_SEQ_STATUS scan;
	RuleState  *state;

	if (rule_states == NULL)
		return;
	hash_seq_init(&scan, rule_states);
	while ((state = hash_seq_search(&scan)) != NULL)
	{
		if (state->turn != turn)
			(void) hash_search(rule_states, &state->id, HASH_REMOVE, NULL);
	}
}

/* List the rules that are due; *again: when the next of the others is due */
static List *
find_due(List *rule_list, TimestampTz now, TimestampTz *again)
{
	List	   *list = NIL;
	ListCell   *cell;

	foreach(cell, rule_list)
	{
		AlertRule  *rule = lfirst(cell);
		RuleState  *state = rule_state(rule, now);
		TimestampTz send_at = rule->first == DT_NOEND ? DT_NOEND :
			Max(rule->first + rule->window, state->send_at);
		TimestampTz check_at = rule->backlog >= 0 || rule->step_waits >= 0 || rule->workers ?
			state->check_at : DT_NOEND;
		DueRule    *due;

		if (send_at > now)
			*again = Min(*again, send_at);
		if (check_at > now)
			*again = Min(*again, check_at);
		if (send_at > now && check_at > now)
			continue;
		due = palloc(sizeof(DueRule));
		due->rule = rule;
		due->state = state;
		due->send = send_at <= now;
		due->check = check_at <= now;
		due->at = Min(send_at, check_at);
		list = lappend(list, due);
	}
	return list;
}

/* The first that was due comes first */
static int
compare_due(const ListCell *a, const ListCell *b)
{
	const TimestampTz x = ((DueRule *) lfirst(a))->at;
	const TimestampTz y = ((DueRule *) lfirst(b))->at;

	return x < y ? -1 : x > y;
}

static OwnerTime *
owner_time(List **times, Oid owner)
{
	OwnerTime  *time;
	ListCell   *cell;

	foreach(cell, *times)
	{
		time = lfirst(cell);
		if (time->owner == owner)
			return time;
	}
	time = palloc0(sizeof(OwnerTime));
	time->owner = owner;
	*times = lappend(*times, time);
	return time;
}

/* A transaction in which all statements see the same events */
static void
begin(OwnSql *own)
{
	own_transaction_begin_at(XACT_REPEATABLE_READ);
	own_sql_begin(own);
	SPI_connect();
}

static void
end(OwnSql *own)
{
	SPI_finish();
	own_sql_end(own);
	own_transaction_end();
}

TimestampTz
alerts_maintain(TimestampTz now)
{
	TimestampTz again = DT_NOEND;
	OwnSql		own;
	List	   *list;
	List	   *times = NIL;
	ListCell   *cell;

	begin(&own);
	turn++;
	list = find_due(alert_rules_read(), now, &again);
	list_sort(list, compare_due);
	foreach(cell, list)
	{
		DueRule    *due = lfirst(cell);
		OwnerTime  *time = owner_time(&times, due->rule->owner);
		int64		begun = monotonic_now();

		/* the rest of this role's comes in the next turn */
		if (time->spent < OWNER_SHARE)
		{
			if (due->check)
				try_rule(due, false, now);
			if (due->send)
				try_rule(due, true, now);
			time->spent += monotonic_now() - begun;
			/* or there are events that were too many for one message */
			if (due->send)
				again = Min(again, Max(due->state->send_at, now));
			if (due->check)
				again = Min(again, due->state->check_at);
		}
		else
			again = now;
	}
	forget_states();
	end(&own);
	return again == DT_NOEND ? DT_NOEND : Max(again, now + SCAN_PAUSE);
}
