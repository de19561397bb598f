/*
 * settings_cache.h
 *		Settings of functions and queues, as enqueue and workers see them.
 */
#ifndef DEFER_SETTINGS_CACHE_H
#define DEFER_SETTINGS_CACHE_H

#include "base/job.h"
#include "pure/backoff.h"

/* A row of defer.function.  A column that is NULL there is false in has_... */
typedef struct FunctionSettings
{
	bool		found;			/* false if there is no row */
	int32		id;				/* 0 when there is no row */
	Oid			owner;			/* of the function, when its settings were
								 * made */
	int32		concurrency;	/* -1: no limit */
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

/* Grows when any of them may have changed */
extern uint64 settings_generation(void);

/* After a change of defer.function/queue: at commit, everywhere */
extern void settings_invalidate(void);

/* By the settings as they are */
extern int64 job_limits_key(const char *signature, const char *queue);

/* Job over function over queue over default */
extern void job_policy(const Job *job, JobPolicy *policy);

#endif							/* DEFER_SETTINGS_CACHE_H */
