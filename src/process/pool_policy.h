/*
 * pool_policy.h
 *		How many workers a pool may have: arithmetic on counts and times, without
 *		a server, so that it is tested outside one (test/unit/test_pool_policy.c).
 *
 * Times are microseconds of any clock.  The caller counts, decides when to call
 * again by next_check, and starts and stops processes.
 */
#ifndef POOL_POLICY_H
#define POOL_POLICY_H

#include <stdbool.h>
#include <stdint.h>

/* No next check: the caller is woken when there is something to decide */
#define POLICY_NEVER	INT64_MAX

/* How long after starting workers to see whether more are needed */
#define POLICY_GROW_DELAY	(20 * 1000)

/* A role without a worker is starved after it has waited for one this long */
#define POLICY_STARVED_AFTER	(500 * 1000)

/* When to look again at a pool whose workers cannot write */
#define POLICY_BLOCKED_DELAY	(200 * 1000)

/* The slots for workers on this server; the same for all pools */
typedef struct PolicyServer
{
	int			max_workers;	/* defer.max_workers */
	int			max_processes;	/* worker processes, including those waiting
								 * in await */
	int			working;		/* workers that count against max_workers */
	int			processes;		/* worker processes there are, but for: */
	int			await_extra;	/* those for awaited jobs only */
	int			max_await_extra;
	bool		others;			/* other roles have jobs or workers */
	bool		scheduler_waits;	/* a database has no slot for its
									 * scheduler */
} PolicyServer;

/* One role's jobs and workers in one database */
typedef struct PolicyPool
{
	int64_t		ready;			/* jobs that could begin now; an estimate */
	int			workers;		/* that do not wait in await */
	int			idle;			/* of them: idle, or started and not connected
								 * yet */
	bool		blocked;		/* one of them, at least, cannot write */
	bool		only_awaited;	/* these are counts of awaited jobs, and of
								 * workers for them */
} PolicyPool;

/* Since when a role has had ready jobs and no worker; zeroed: it has not */
typedef struct PolicyStarvation
{
	int64_t		since;
	int64_t		seen;			/* the last time that this was so */
} PolicyStarvation;

typedef struct PolicyDecision
{
	int			start;			/* workers to start now */
	bool		await_extra;	/* for awaited jobs only, beyond all limits */
	int64_t		ask;			/* idle workers of other pools to ask for
								 * their slots */
	bool		ask_busy;		/* if none is idle: one of the largest pool,
								 * after its job */
	int64_t		next_check;
} PolicyDecision;

/* Workers beyond defer.max_workers, each the first of its role */
extern int	policy_extra_workers(int max_workers);

/* Workers that a pool lacks; 0: none */
extern int64_t policy_lacking(const PolicyPool *pool);

/*
 * What to do for a pool that lacks workers.  tables_locked: a new worker could
 * not claim.  Keeps *starvation, which belongs to the role.
 */
extern PolicyDecision policy_decide(const PolicyServer *server, const PolicyPool *pool,
									PolicyStarvation *starvation, bool tables_locked,
									int64_t now);

/*
 * Most worker processes on a server with that many background workers.
 * "others": background workers that are not for workers of ours: of
 * PostgreSQL, the launcher, schedulers, senders; "must": of these, those that
 * each have a slot even where max_workers is too high for the server.
 */
extern int	policy_max_processes(int max_worker_processes, int others, int must, int max_workers);

/*
 * Workers whose job waits in await do not count against max_workers, up to a
 * number for the server and a share of it for each role.
 */
extern int	policy_await_free(int max_processes, int max_workers);
extern int	policy_await_share(int await_free);

/*
 * Once so many workers of a role wait in await, its other workers take no new
 * job of that depth: 0 a job that no job awaits, 1 one that a job of depth 0
 * awaits, and so on.  The deeper, the more, so that children find a worker.
 */
extern int	policy_await_limit(int await_share, int await_workers, int depth);

/*
 * Other workers of a role.  Workers that run a job that no job awaits may come
 * to await, and count as such where jobs of the role have awaited lately.
 */
typedef struct PolicyAwait
{
	int			awaiting;
	int			busy;			/* they run a job that no job awaits */
	int			busy_awaited;	/* they run an awaited job */
	bool		lately;			/* a job of the role has awaited */
} PolicyAwait;

/*
 * The least depth of a job that a worker of a role may take; INT_MAX: it may
 * take none.  Where no other worker runs an awaited job any of these may be
 * taken.
 */
extern int	policy_await_min_depth(const PolicyAwait *others, int await_share, int await_workers);

/*
 * Workers for awaited jobs only, beyond max_processes, where all workers of a
 * role await: most of them on a server with that many background workers.
 */
extern int	policy_await_extra(int max_worker_processes, int must, int max_processes,
							   int max_workers);

/*
 * Most workers that jobs of one role which await, and what they await, may have
 * without those; the rest of max_processes is for roles without a worker.
 */
extern int	policy_await_workers(int max_processes, int max_workers);

/*
 * How long after its start a process is started again: one that served at most
 * once a second, one that ended before it could, "failures" times in a row,
 * less and less often.
 */
extern int64_t policy_restart_delay(bool served, int failures);

#endif							/* POOL_POLICY_H */
