/*
 * alert_rules.h
 *		The rules of alerts, as each process keeps them: table/alert_rules.c.
 */
#ifndef DEFER_ALERT_RULES_H
#define DEFER_ALERT_RULES_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "base/catalog.h"

/* All rules of one owner */
typedef struct AlertOwner
{
	Oid			owner;
	int			wanted;			/* bits of the states that any of them is
								 * about */
	int			nfailing;		/* entries of functions that are failing for
								 * them */
	List	   *rules;			/* of AlertRule */
} AlertOwner;

typedef struct AlertRule
{
	int32		id;				/* hash key */
	AlertOwner *group;
	int			states;			/* bits: see alert_state_bit() */
	bool		schedules;
	bool		recovered;
	int32		retries;		/* the attempt that is told of; 0: none */
	char	   *function;		/* NULL: all */
} AlertRule;

typedef struct FailingKey
{
	int32		alert_id;
	const char *function;
} FailingKey;

/* A function that a rule has had an event about, and that has not recovered */
typedef struct Failing
{
	FailingKey	key;
	bool		recorded;		/* by this process, that it has succeeded */
	uint32		failures;		/* the counter in shared memory at that time */
} Failing;

extern int	alert_state_bit(char state);

/* Read the rules if they have changed; returns the bits of the states they are about */
extern int	alert_rules_load(void);

/* Return the owners of rules who may see the jobs of a role; a list of AlertOwner */
extern List *alert_owners_who_see(Oid role);

/* Find a failing function of a rule; NULL: it is not failing */
extern Failing *alert_rule_failing(const AlertRule *rule, const char *function);

/*
 * Add one that is not there, and its row, in the caller's transaction.  Does nothing
 * if the rules of this owner follow as many as they may.
 */
extern void alert_rule_add_failing(AlertRule *rule, const char *function);

/* Have the rules read again if the transaction aborts */
extern void alert_rules_reload_on_abort(void);

#endif							/* DEFER_ALERT_RULES_H */
