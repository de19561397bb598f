/*
 * settings_cache.h
 *		Settings of functions and queues, as enqueue and workers see them.
 */
#ifndef DEFER_SETTINGS_CACHE_H
#define DEFER_SETTINGS_CACHE_H

#include "base/job.h"
#include "pure/retry_policy.h"

/* Whether the jobs of a group run in order, and what a failed one does to those after it */
typedef enum GroupOrder
{
	GROUP_ORDER_NONE = 0,
	GROUP_ORDER_SKIP,			/* strict; a failed job is passed over */
	GROUP_ORDER_HOLD			/* strict; it holds back those after it */
} GroupOrder;

/* max_queued and group_max_queued, and the number under which jobs are counted */
typedef struct SettingCap
{
	int64		number;			/* 0: neither is set */
	int32		max;			/* -1: no limit */
	int32		group_max;
} SettingCap;

/* A row of defer.function.  A column that is NULL there is false in has_... */
typedef struct FunctionSettings
{
	bool		found;			/* false if there is no row */
	int32		id;				/* 0 when there is no row */
	Oid			owner;			/* of the function, when its settings were
								 * made */
	int32		concurrency;	/* -1: no limit */
	int32		group_concurrency;	/* of each group; -1: no limit */
	bool		group_overrides;	/* some groups have settings of their own */
	char	   *rate;			/* NULL: no limit */
	char	   *group_rate;		/* of each group; NULL: no limit */
	GroupOrder	group_order;
	SettingCap	cap;
	bool		cancel_at_limit;
	bool		paused;
	bool		has_priority;
	int32		priority;
	char	   *queue;			/* NULL: not set */
	int64		discard_after;	/* microseconds, -1: not set */
	char	   *group_by;		/* NULL: not set; see config/group_by.h */
	/* policy fields; negative: not set */
	JobPolicy	policy;
} FunctionSettings;

/* A row of defer.queue; "default" exists without one */
typedef struct QueueSettings
{
	bool		found;			/* there is a row, or it is "default" */
	int32		id;				/* 0 when there is no row */
	Oid			owner;			/* InvalidOid for a "default" without row */
	int			ngranted;
	Oid		   *granted;		/* InvalidOid in it: everybody */
	int32		concurrency;	/* -1: no limit */
	int32		group_concurrency;	/* of each group; -1: no limit */
	bool		group_overrides;	/* some groups have settings of their own */
	char	   *rate;			/* NULL: no limit */
	char	   *group_rate;		/* of each group; NULL: no limit */
	GroupOrder	group_order;
	SettingCap	cap;
	int32		reserved;		/* workers that are kept for it; 0: none */
	bool		paused;
	bool		has_priority;
	int32		priority;
	int64		discard_after;
	char	   *group_by;		/* NULL: not set */
	JobPolicy	policy;
} QueueSettings;

/* Never NULL */
extern const FunctionSettings *function_settings(const char *signature);

/* Never NULL; look at found */
extern const QueueSettings *queue_settings(const char *name);

/* The limits of a function's jobs in a queue, by the settings as they are */
typedef struct JobLimits
{
	LimitScopes without;		/* of a job without a group */
	LimitScopes with;			/* of one with: "group" is to be set */
	int64		kinds;			/* of LIMITS_KEY_KINDS */
	int32		order_scope;	/* of a job with a group: see struct Job */
	bool		capped;			/* there is a max_queued */
} JobLimits;

extern void settings_limits(const char *signature, const char *queue, JobLimits *limits);

/*
 * Those of a job of that group, NULL: none, with the number of its endpoint, if that is
 * limited; returns its limits_key
 */
extern int64 settings_scopes_of_job(const JobLimits *limits, const text *group,
									int32 endpoint_id, LimitScopes *scopes);

/*
 * Set limits_key, scopes and order_scope of a job by its function, queue, group and endpoint,
 * and whether there is a max_queued
 */
extern void settings_set_limits(Job *job);

/*
 * Set the scopes that the limits_key of a row stands for.  If it does not stand for
 * the job's limits by now they are those of the latter: a claim moves the job then.
 */
extern void settings_set_scopes(Job *job);

/*
 * The same for the ready queue that a job stands for: none, if its limits have changed.  The
 * claim moves it, and others of that key must not wait for limits that they are not under.
 */
extern void settings_set_queue_scopes(Job *job);

#endif							/* DEFER_SETTINGS_CACHE_H */
