/*
 * flow.h
 *		The property test of groups, limits, rates, shares and order: a server of make-believe
 *		around the real shared memory.
 *
 * Real are the files of src/shmem that have ready queues, limits, rates and accounts, and
 * job/batch_entries.c and job/steal.c, which take and give back what batches hold.  The rest
 * is simulated: the clock, tables with transactions, and the processes, which are contexts
 * of one thread.  Another one goes on where the running one takes a lock, commits, or waits.
 *
 *		flow_server.c	what the server has: locks, hash tables, heaps, the clock
 *		flow_world.c	settings, jobs, transactions
 *		flow_claim.c	claims: rows of ready queues
 *		flow_batch.c	batches
 *		flow_worker.c	workers; their static variables are in flow_statics.c
 *		flow_process.c	processes; the scheduler, the sender, sessions
 *		flow_model.c	what must hold, looked at naively
 *		test_flow.c		rounds of random settings and faults
 *		test_limit_shares.c	slots of limits and two roles, without rounds
 */
#ifndef FLOW_H
#define FLOW_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "storage/lwlock.h"

#include "base/job.h"
#include "job/batch.h"
#include "shmem/limits.h"
#include "shmem/ready_queue.h"
#include "shmem/workers.h"

#include "harness.h"

/* those of the C library */
#undef printf
#undef vprintf
#undef snprintf

#define DATABASE	5
#define OWNERS		2			/* roles, from FIRST_OWNER on */
#define FIRST_OWNER	101
#define WORKERS		6
#define SESSIONS	3
#define SCOPES		4			/* functions, and queues, from 1 on */
#define ENDPOINTS	2
#define GROUPS		6			/* from 1 on */
#define JOBS		400

/* ------------------------------------------------------------------------
 * flow_server.c
 * ------------------------------------------------------------------------ */

extern int64 flow_clock;		/* monotonic, microseconds */

extern void server_begin(void); /* shared memory is made anew */
extern bool server_holds_lock(void);

/* ------------------------------------------------------------------------
 * flow_world.c: tables
 * ------------------------------------------------------------------------ */

/* A function, a queue or an endpoint; or a group of one of the first two */
typedef struct Setting
{
	bool		set;			/* of a group: there is a row */
	bool		paused;
	int32		limit;			/* LIMIT_NONE; of a group LIMIT_INHERITED */
	int32		group_limit;
	bool		strict;
	bool		holds;			/* strict, and on_group_failure is "hold" */
	bool		held;			/* of a group: a job has failed since */
	Rate		rate;			/* of a group: the interval may be -2:
								 * inherited */
	Rate		group_rate;
	double		weight;

	/* what the model remembers */
	uint64		changed;		/* step in which a change was told */
	int			telling;		/* changes that are committed and not told */
	TimestampTz used;			/* as defer.rate_used has it; 0: none */
	int64		told_at;		/* time of the last change */
	int64		tokens[256];	/* that were taken since the rate has changed */
	int			ntokens;
	Rate		rated;			/* they were taken under this */
} Setting;

typedef struct FlowJob
{
	Job			job;			/* as it is committed */
	int			function;
	int			queue;			/* 0: without settings */
	int			group;			/* 0: none */
	int			endpoint;		/* 0: it is no delivery, or has none */
	bool		delivery;
	bool		used;			/* the entry is not free */
	bool		visible;		/* its insert is committed */
	struct Process *writer;		/* who has the row locked */
	Job			next;			/* these: as it will be */
	bool		deleted;
	bool		failed;			/* and that for good */
	bool		notify;
	bool		running;
	bool		token;			/* for this attempt */
	uint64		asked;			/* step in which the attempt was decided on */
	LimitScopes started_under;	/* with places under these */
	uint64		moved;			/* step in which its order_scope was set */
	uint64		seen;			/* step of the commit that made it visible */
	uint64		claimed;		/* step in which it was claimed */
	bool		ordered;		/* as one whose group has an order */
	int64		startable_since;	/* -1: it is not */
} FlowJob;

extern Setting settings[3][SCOPES + 1]; /* functions, queues, endpoints */
extern Setting group_settings[2][SCOPES + 1][GROUPS + 1];
extern FlowJob jobs[JOBS];
extern uint64 step;				/* grows with each switch of processes */
extern uint64 generation;		/* of settings */

extern const char kinds[];		/* 'f', 'q', 'e' */
extern int64 group_hash(int group);
extern void world_begin(void);
extern void world_crash(void);	/* what is not committed is gone */
extern bool has_overrides(int kind, int id);
extern void set_limits(FlowJob *row, Job *job);
extern FlowJob *find_job(int64 id);
extern FlowJob *insert_job(Oid owner, int function, int queue, int group, int priority,
						   TimestampTz run_at, int delivery);
extern bool lock_row(FlowJob *row); /* false: another one has it */
extern void transaction_end(void);	/* commit, and tell the others */
extern void transaction_abort(void);
extern void change_setting(int kind, int id, int group, const Setting *value);
extern void release_hold(int kind, int id, int group);
extern LimitValue read_limit(const LimitValue *wanted);

/* ------------------------------------------------------------------------
 * flow_process.c
 * ------------------------------------------------------------------------ */

typedef struct Process
{
	void		(*main) (struct Process *);
	int			number;			/* of a worker or session */
	bool		alive;
	int64		first_claim;	/* claims before are of one that has ended */
	FlowJob    *runs;			/* a worker: its job; NULL: none */
	bool		latch;
	int64		wake_at;		/* PG_INT64_MAX: not by itself */
	bool		sleeps;
	bool		waits;			/* it sleeps, until its latch is set, too */
	bool		idle;			/* a worker that looks for jobs */
	int			doom;			/* steps until it is to fail or end; 0: none */
	bool		fatal;
	bool		exiting;
	int			nrows;
	FlowJob    *rows[JOBS];		/* that its transaction has written */
	int			nlocks;
	ReadyQueueChoice locks[READY_CLAIM_MAX];	/* claim locks */
	sigjmp_buf	end;
	sigjmp_buf *exception_stack;
	struct Statics *statics;	/* of a worker */
} Process;

#define PROCESSES	(WORKERS + SESSIONS + 2)

extern Process processes[PROCESSES];
extern Process *current_process;	/* NULL: the test itself */

#define workers		(processes)
#define sessions	(processes + WORKERS)
#define scheduler	(processes + WORKERS + SESSIONS)
#define sender		(processes + WORKERS + SESSIONS + 1)

extern void process_yield(bool interruptible);
extern void process_sleep(int64 until, bool interruptible);
extern void process_wait(int64 until);	/* or its latch */
extern void process_set_latch(Process *process);
extern void processes_begin(void);	/* after a start of the server */
extern bool processes_run(void);	/* false: all of them wait */
extern int64 processes_next(void);
extern bool processes_all_idle(void);	/* nothing is claimed */
extern void session_main(Process *process);
extern Setting random_setting(bool of_group);
extern void lift_all(void);
extern void processes_kill(Process *process);

/* ------------------------------------------------------------------------
 * flow_claim.c, flow_batch.c
 * ------------------------------------------------------------------------ */

extern void scan_queue(Batch *batch_of, ReadyQueueChoice *choice, int max, TimestampTz now);
extern void claims_begin(Process *process);
extern Process *claim_process(int64 claim);
extern bool claim_is_left(int64 claim); /* its process has ended */
extern void free_row(FlowJob *row, Job *job);
extern void finalize_batch(void);	/* in a transaction of its own */

/* ------------------------------------------------------------------------
 * flow_worker.c, flow_statics.c
 * ------------------------------------------------------------------------ */

extern void worker_main(Process *process);
extern void worker_ends(Process *process);

extern struct Statics *statics_new(void);
extern struct Statics *statics_clear(struct Statics *statics);
extern void statics_save(struct Statics *statics);
extern void statics_restore(const struct Statics *statics);
extern BatchWithdraw statics_withdraw(int64 job_id);

/* ------------------------------------------------------------------------
 * flow_model.c
 * ------------------------------------------------------------------------ */

typedef struct FlowPlan
{
	bool		fair;			/* equal jobs of groups that have some
								 * throughout */
	int			nowners;
	int			ngroups;
	int			longest;		/* job, microseconds */
	int			pace;			/* sessions are so many times as slow */
	bool		flushes;		/* each commit */
	int			queue;			/* of fair jobs; 0: the weights are of a function */
	bool		faults;
	bool		changes;
	bool		sends;
	bool		draining;		/* all is to come to its end */
	bool		few_slots;		/* of ready queues: less than there may be */
	int64		restarted;		/* when the server was */
	int64		changed;		/* when settings were changed last */
	double		weights[GROUPS + 1];
} FlowPlan;

extern FlowPlan plan;
extern void model_begin(void);
extern void flow_violated(void);
extern void model_restarted(void);
extern void model_decides(FlowJob *row);
extern void model_token(FlowJob *row, const LimitScopes *scopes, const Token *token);
extern void model_starts(FlowJob *row, const LimitScopes *scopes);
extern void model_ends(FlowJob *row);
extern void model_told(int kind, int id, int group);
extern void model_quiet(void);	/* all processes wait */
extern void model_idle(void);	/* and nothing is under way */

/* ------------------------------------------------------------------------
 * test_limit_shares.c
 * ------------------------------------------------------------------------ */

extern void test_limit_shares(void);

#endif							/* FLOW_H */
