/*
 * enqueue_options.h
 *		The options of defer.enqueue() and its like: job/enqueue_options.c.
 *
 * A new option is one more value of the enum and one line of the table, and a
 * parameter of that name and type at the end of sql/src/enqueue_options.sql.in.
 * Then read it in enqueue_options_read().
 */
#ifndef ENQUEUE_OPTIONS_H
#define ENQUEUE_OPTIONS_H

#include "fmgr.h"

struct Job;
struct KeyRule;

/* In the order in which all the functions have them, side by side */
typedef enum EnqueueOption
{
	OPTION_RUN_AT,
	OPTION_DELAY,
	OPTION_QUEUE,
	OPTION_PRIORITY,
	OPTION_KEY,
	OPTION_DISCARD_AFTER,
	OPTION_METADATA,
	OPTION_MAX_ATTEMPTS,		/* from here on: the policy */
	OPTION_INITIAL_INTERVAL,
	OPTION_MULTIPLIER,
	OPTION_MAX_INTERVAL,
	OPTION_RANDOMIZATION,
	OPTION_MAX_DURATION,		/* to here */
	OPTION_GROUP_KEY,
	OPTION_ON_KEY,				/* from here on: the rule of the key */
	OPTION_DEBOUNCE_MAX,
	OPTION_KEY_FOR,				/* to here */
	OPTION_AFTER,
	OPTION_AFTER_FAILURE,
	OPTION_WHEN_DONE,
	OPTION_N
} EnqueueOption;

/* Name and type, as parameters and as fields of defer.enqueue_many() */
typedef struct EnqueueOptionType
{
	const char *name;
	Oid			type;
} EnqueueOptionType;

extern const EnqueueOptionType enqueue_options[OPTION_N];

/* Check for an option that is given with a key only */
static inline bool
option_is_of_key(EnqueueOption option)
{
	return option >= OPTION_ON_KEY && option <= OPTION_KEY_FOR;
}

/*
 * Set what the options and the settings of its function and queue decide of a
 * job that has owner, kind, function ("signature"), arguments and enqueued_at.  "first" is
 * the number of the argument run_at, the first of the options, or -1 if the
 * caller has none.  *rule is set if the job has a key.  Errors name the option.
 */
extern void enqueue_options_read(FunctionCallInfo fcinfo, int first, const char *signature,
								 struct Job *job, struct KeyRule *rule);

/* The group that the settings of its function and queue give a job; NULL: none */
extern text * enqueue_options_group(const struct Job *job);

/* The key in argument n; NULL: none */
extern text * enqueue_options_key(FunctionCallInfo fcinfo, int n);

#endif							/* ENQUEUE_OPTIONS_H */
