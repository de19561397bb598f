/*
 * job_search.h
 *		Jobs that pass the filters of defer.find_jobs(): bulk/job_search.c.
 */
#ifndef JOB_SEARCH_H
#define JOB_SEARCH_H

#include "fmgr.h"

typedef struct JobSearch JobSearch;

/* Which roles' jobs are found: role_may_see() or role_may_manage() */
typedef bool (*JobSearchRole) (Oid owner);

/*
 * Read the filters of a function whose first parameters are those of
 * defer.find_jobs() up to "before"; group_key is the argument group_arg, and the filters
 * after it follow.  Error if one is not valid.  In the current memory context, with the arguments.
 */
extern JobSearch *job_search_begin(FunctionCallInfo fcinfo, int group_arg, JobSearchRole allowed);

/*
 * Find up to "wanted" jobs, the newest first, after those of the call before; as
 * of the active snapshot.  Returns how many; fewer than wanted: there are no more.
 */
extern int	job_search_page(JobSearch *search, int wanted, int64 *ids);

/* Find finished jobs only, or unfinished ones; error if states are given that are others */
extern void job_search_only(JobSearch *search, bool ended);

/*
 * Find jobs that have failed only; open_only: about which nothing was done.  Error if other
 * states are given.
 */
extern void job_search_failed(JobSearch *search, bool open_only);

/*
 * Check whether the filters leave out anything of what job_search_only() lets
 * through.  Error if one of them is empty.
 */
extern bool job_search_filters(const JobSearch *search);

#endif							/* JOB_SEARCH_H */
