/*
 * defer.h
 *		The types that files share, and what each file offers to the others,
 *		grouped by the file that owns it.  A file calls downwards only: the
 *		groups below stand from the floor up.
 */
#ifndef DEFER_H
#define DEFER_H

#include "postgres.h"

#include "base/compat.h"
#include "access/htup.h"
#include "datatype/timestamp.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/jsonb.h"
#include "utils/relcache.h"

/* ------------------------------------------------------------------------
 * Types
 * ------------------------------------------------------------------------ */

/* What kind of work a job is (job.kind) */
#define JOB_FUNCTION	'f'
#define JOB_PROCEDURE	'p'
#define JOB_COMMAND		'c'
#define JOB_HTTP		'h'
#define JOB_EMAIL		'e'
#define JOB_SLACK		's'

/* How a job ended (job_history.state) */
#define STATE_SUCCEEDED 's'
#define STATE_FAILED	'f'
#define STATE_CANCELLED 'c'
#define STATE_DISCARDED 'd'

/* The function name that command jobs carry; their statement is args->>'sql' */
#define COMMAND_FUNCTION "defer.command"

/* Deliveries are jobs that the sender sends; they carry these as function */
#define HTTP_FUNCTION	"defer.http"
#define EMAIL_FUNCTION	"defer.email"
#define SLACK_FUNCTION	"defer.slack"

static inline bool
kind_is_delivery(char kind)
{
	return kind == JOB_HTTP || kind == JOB_EMAIL || kind == JOB_SLACK;
}

static inline bool
name_is_delivery(const char *function)
{
	return strcmp(function, HTTP_FUNCTION) == 0 || strcmp(function, EMAIL_FUNCTION) == 0 ||
		strcmp(function, SLACK_FUNCTION) == 0;
}

/* Is it one of our functions, which jobs carry without its parameters? */
static inline bool
name_is_ours(const char *function)
{
	return strcmp(function, COMMAND_FUNCTION) == 0 || name_is_delivery(function);
}

#define DEFAULT_QUEUE	"default"

/* No time: "no schedule", "no discard_at".  Never a time that users can give */
#define NO_TIME			DT_NOBEGIN

/*
 * A row of defer.job.  Pointers are into the memory context that the reader
 * chose.  NULL pointer, 0 or NO_TIME where the column is NULL.
 */
typedef struct Job
{
	int64		id;
	Oid			owner;
	int64		limits_key;			/* see LIMITS_KEY() */
	int32		priority;		/* smaller runs first */
	TimestampTz run_at;
	TimestampTz enqueued_at;
	int64		claim;			/* 0: free */
	int32		attempt;		/* attempts that ended without success */
	int16		crashes;
	int16		suspect;
	int16		conflicts;
	char		kind;			/* JOB_... */
	int64		parent_id;		/* 0: none */
	int64		schedule_id;	/* 0: none */
	TimestampTz scheduled_for;
	TimestampTz discard_at;
	text	   *function;		/* schema-qualified signature, or COMMAND_FUNCTION */
	text	   *queue;
	Jsonb	   *args;			/* as given: array, object or NULL */
	text	   *key;
	Jsonb	   *metadata;
	Jsonb	   *options;		/* keys: see JobPolicy; times in microseconds */
	text	   *sqlstate;		/* of the last failed attempt */
	text	   *error;
} Job;

/*
 * A ready queue is the set of jobs under the same concurrency limits: number of the
 * limited (or paused) function and of the limited (or paused) queue, 0 where
 * there is none.  Ready queue 0 is everybody without a limit.  Deliveries, which are
 * the sender's and not the workers', have the same ready queues once more, below 0, and
 * e-mails, of which only few are sent at a time, yet again.
 */
#define LIMITS_KEY_DELIVERY PG_INT64_MIN
#define LIMITS_KEY_MAIL	(INT64CONST(1) << 62)
#define LIMITS_KEY(function_id, queue_id) \
	(((int64) (function_id) << 32) | (int64) (uint32) (queue_id))
#define LIMITS_KEY_FUNCTION(limits_key) ((int32) (((limits_key) >> 32) & 0x3fffffff))
#define LIMITS_KEY_QUEUE(limits_key)	((int32) ((limits_key) & 0xffffffff))
#define LIMITS_KEY_IS_DELIVERY(limits_key) ((limits_key) < 0)
#define LIMITS_KEY_IS_MAIL(limits_key)	(((limits_key) & LIMITS_KEY_MAIL) != 0)
#define LIMITS_KEY_HAS_LIMITS(limits_key) (((limits_key) & (LIMITS_KEY_MAIL - 1)) != 0)

/* What holds for one job after job, function, queue and defaults are weighed */
typedef struct JobPolicy
{
	int32		max_attempts;	/* "max_attempts" */
	int64		initial_interval;	/* microseconds */
	double		multiplier;
	int64		max_interval;	/* microseconds */
	double		randomization;	/* 0 .. 1 */
	int64		max_duration;	/* microseconds; 0: none */
} JobPolicy;

/* A row of defer.function; what is NULL there is false in has_... */
typedef struct FunctionSettings
{
	bool		found;			/* is there a row at all? */
	int32		id;				/* 0 when there is no row */
	int32		concurrency;	/* -1: no limit */
	bool		cancel_at_limit;
	bool		paused;
	bool		has_priority;
	int32		priority;
	char	   *queue;			/* NULL: not set */
	int64		discard_after;	/* microseconds, -1: not set */
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
	JobPolicy	policy;
} QueueSettings;

/* A function as jobs see it; lives in the function cache until invalidated */
typedef struct FunctionEntry
{
	Oid			oid;
	char	   *signature;		/* pg_catalog-style "schema.name(type,type)", quoted */
	char		kind;			/* JOB_FUNCTION or JOB_PROCEDURE */
	bool		returns_set;
	bool		strict;
	Oid			result_type;
	int			nargs;			/* input arguments */
	int			ndefaults;		/* how many of the last have defaults */
	Oid		   *arg_types;
	char	  **arg_names;		/* "" where unnamed */
	void	   *conversions;	/* function/args.c's, in entry_context */
	MemoryContext entry_context;
} FunctionEntry;

/* ------------------------------------------------------------------------
 * base/guc.c: the GUCs
 * ------------------------------------------------------------------------ */
extern int	defer_max_workers;
extern int	defer_shared_slots;
extern bool defer_enabled;
extern int	defer_worker_idle_timeout;	/* ms */
extern int	defer_retention;	/* minutes */
extern bool defer_synchronous_commit;
extern int	defer_max_crashes;
extern int	defer_log_level;	/* an elevel */
extern int	defer_max_payload;	/* kB */
extern bool defer_run_superuser_jobs;
extern int	defer_max_deliveries;
extern char *defer_smtp_url;
extern char *defer_smtp_from;
extern char *defer_http_allow;
extern char *defer_http_ca_file;
extern void guc_define(void);

/* ------------------------------------------------------------------------
 * base/catalog.c: the extension's own objects, and its own SQL
 * ------------------------------------------------------------------------ */
typedef enum CatalogObject
{
	CAT_JOB,
	CAT_JOB_PKEY,
	CAT_JOB_CLAIM_IDX,
	CAT_JOB_KEY_IDX,
	CAT_JOB_SCHEDULE_IDX,
	CAT_JOB_ID_SEQ,
	CAT_CLAIM,
	CAT_CLAIM_PKEY,
	CAT_CLAIM_ID_SEQ,
	CAT_HISTORY,
	CAT_HISTORY_DEFAULT,
	CAT_ATTEMPT_DEFAULT,
	CAT_LOG_DEFAULT,
	CAT_FUNCTION,
	CAT_QUEUE,
	CAT_SCHEDULE,
	CAT_INSTALLATION,
	CAT_ORIGIN,
	CAT_ROLLUP_NEW,
	CAT_ALERT,
	CAT_ALERT_EVENT,
	CAT_ALERT_FAILING,
	CAT_N
} CatalogObject;

extern bool catalog_installed(void);	/* does this database have the extension? */
extern Oid	catalog_owner(void);	/* owner of the extension */
extern Oid	catalog_oid(CatalogObject which);	/* cached; error if missing */
extern bool catalog_is_active(void);	/* false in a restored or copied database */
extern bool database_is_template(Oid database);

/*
 * Our own SQL through SPI: between the two, the current user is the
 * extension's owner, search_path is pg_catalog, pg_temp, and row security and
 * user settings have no say.  own_sql_end also undoes it; an error between
 * them is undone by the (sub)transaction's abort.  Nest freely.
 */
typedef struct OwnSql
{
	Oid			user;
	int			security_context;
	int			guc_level;
} OwnSql;
extern void own_sql_begin(OwnSql *state);
extern void own_sql_end(OwnSql *state);

/* May the current user see and manage what belongs to that role? */
extern bool role_may_manage(Oid owner); /* member of it, or superuser */
extern bool role_may_see(Oid owner);	/* the same, or pg_monitor */

/* ------------------------------------------------------------------------
 * shmem/shmem.c: what is in shared memory (see shmem/shmem.h)
 * ------------------------------------------------------------------------ */
extern bool shared_state_present(void); /* false: not in shared_preload_libraries */
extern void warn_if_not_preloaded(void);	/* WARNING, once a session */

/* ------------------------------------------------------------------------
 * shmem/xact_notify.c: what must reach the others when this transaction commits
 *
 * All of these may be called many times in a transaction; nothing happens on
 * rollback.  They need constant memory, whatever the number of jobs.
 * ------------------------------------------------------------------------ */
extern void xact_notify_job(Oid owner, int64 limits_key, int32 priority, TimestampTz run_at, int64 id);	/* a job may be taken from run_at on */
extern void xact_notify_limit(char kind, int32 id, int32 limit);	/* kind 'f' or 'q'; limit -1 none, 0 paused */
extern void xact_notify_schedule(TimestampTz next_run_at);	/* scheduler, look again then */
extern void xact_notify_final(int64 job_id);	/* wake who awaits it */
extern void xact_notify_scheduled_function(Oid function);	/* function/direct_call_check.c's set grows */
extern void xact_notify_release(void);	/* a schedule's run has ended: look for held ones */
extern void xact_notify_installed(void);	/* CREATE EXTENSION */
extern void xact_notify_alert(void);	/* scheduler, look at alerts */
extern void xact_notify_rollup(uint32 counts);	/* scheduler, so many are to be added up */
extern void xact_notify_probe(void);	/* launcher, look which databases there are */
extern void xact_notify_rescan(void);	/* scheduler, look at all tables again (activate()) */
extern void xact_notify_init(void);

/* ------------------------------------------------------------------------
 * shmem/statistics.c: counters of what has ended, for monitoring
 *
 * What a transaction counts is added when it has committed.
 * ------------------------------------------------------------------------ */
extern Size statistics_shared_size(void);
extern void statistics_startup(void);	/* in the postmaster, under AddinShmemInitLock */
extern void statistics_forget_dropped(List *databases); /* keeps those of these OIDs */
extern void statistics_job_ended(const Job *job, char state, TimestampTz started_at, TimestampTz finished_at);
extern void statistics_attempt_ended(const Job *job, const char *outcome);
extern void statistics_commit(void);	/* throws nothing */
extern void statistics_forget(void);

/* ------------------------------------------------------------------------
 * table/job_table.c: rows of defer.job, job_history, attempt, log, by direct table access
 * ------------------------------------------------------------------------ */

/*
 * Insert a job.  id, enqueued_at and claim are set here.  If job->key is set
 * and an unfinished job of that owner, function and key exists, its id is
 * returned and nothing is inserted.  Calls xact_notify_job().
 */
extern int64 job_insert(Job *job);

/* Read one row by id, as of now (not of the snapshot). false: no such row */
extern bool job_read(int64 id, Job *job);

/*
 * Read and lock one row FOR UPDATE; unless skip_locked waits for who holds it.
 * The latest version is read.  job_lock_claim(): only while it has that claim
 * (0: none), else it is as if it were gone, and nothing is locked.
 */
typedef enum JobLock
{
	JOB_LOCKED,
	JOB_GONE,
	JOB_BUSY
} JobLock;
extern JobLock job_lock(int64 id, bool skip_locked, Job *job);
extern JobLock job_lock_claim(int64 id, int64 claim, bool skip_locked, Job *job);

/*
 * Change and delete a row that job_lock() has locked.  job_update writes all
 * the columns from the struct, job_update_claim is the HOT one.  Neither
 * calls xact_notify_job(): the caller does when the row is free to be taken.
 */
extern void job_update(const Job *job);
extern void job_delete(int64 id);

/* A row of defer.job_history */
typedef struct HistoryRow
{
	Job			job;
	char		state;			/* STATE_... */
	int32		attempt;		/* attempts that were begun */
	TimestampTz started_at;		/* NO_TIME: never */
	TimestampTz finished_at;
	Jsonb	   *result;
} HistoryRow;

/*
 * Everything that ends a job writes this row; calls xact_notify_final().  The
 * second does not count the job (see table/rollup.h): the caller does when the job's row
 * is deleted.  It returns the time that it has written as finished_at.
 */
extern void history_insert(const Job *job, char state, int32 attempt, TimestampTz started_at,
						   Jsonb *result, const char *sqlstate, const char *error);
extern TimestampTz history_insert_uncounted(const Job *job, char state, int32 attempt,
											TimestampTz started_at, Jsonb *result,
											const char *sqlstate, const char *error);
extern bool history_exists(int64 id);	/* as of now */
extern bool history_read(int64 id, HistoryRow *row);	/* as of now */

extern void attempt_insert(const Job *job, int32 attempt, TimestampTz started_at, const char *outcome,
						   const ErrorData *error, TimestampTz retry_at);
extern char *valid_text(const char *text);	/* a copy, in the database's encoding */
extern void log_insert(int64 job_id, Oid owner, int32 attempt, TimestampTz at, const char *level, const char *message);

/* ------------------------------------------------------------------------
 * function/cache.c: functions by name and signature; follows invalidation
 * ------------------------------------------------------------------------ */

/*
 * Find the function that a user means by name ('fn' or 'schema.fn(type,...)')
 * with the current search_path, and check the current user's EXECUTE right,
 * and that the arguments (array, object or NULL) fit and convert.  Errors say
 * what, where and what to do.  The entry is good until the next
 * AcceptInvalidationMessages(); copy what you keep.
 */
extern FunctionEntry *function_resolve(const char *name, Jsonb *args);

/* Find without looking at arguments: error when it is ambiguous */
extern FunctionEntry *function_resolve_name(const char *name);

/* By stored signature, at run time; NULL when it is gone */
extern FunctionEntry *function_by_signature(const char *signature);

/* ------------------------------------------------------------------------
 * function/args.c: JSON arguments to the values of parameters
 * ------------------------------------------------------------------------ */

/*
 * Convert the JSON arguments for a call; values and nulls have room for
 * entry->nargs.  Returns how many are given explicitly; those with defaults
 * that are not given are filled in by evaluating the default.
 */
extern void function_convert_args(FunctionEntry *entry, Jsonb *args, Datum *values, bool *nulls);

/*
 * Convert what is given and forget it: errors name function and parameter
 */
extern void function_check_args(FunctionEntry *entry, Jsonb *args);

/* Values as JSON, as to_jsonb() makes it; the second is for one value only */
extern void prepare_to_jsonb(struct FmgrInfo *finfo, Oid type, MemoryContext context);
extern Jsonb *argument_to_jsonb(Datum value, Oid type);

/* Is that number of arguments, or are those names, what the function takes? */
extern bool function_args_fit(const FunctionEntry *entry, Jsonb *args);

/* ------------------------------------------------------------------------
 * config/settings_cache.c: settings of functions and queues; follows invalidation
 * ------------------------------------------------------------------------ */
extern const FunctionSettings *function_settings(const char *signature);	/* never NULL */
extern const QueueSettings *queue_settings(const char *name);	/* never NULL; look at found */
extern uint64 settings_generation(void);	/* grows when any of them may have changed */
extern void settings_invalidate(void);	/* after a change of defer.function/queue: at commit, everywhere */
extern int64 job_limits_key(const char *signature, const char *queue);	/* by the settings as they are */
extern void job_policy(const Job *job, JobPolicy *policy);	/* job over function over queue over default */

/* ------------------------------------------------------------------------
 * pure/backoff.c: pure
 * ------------------------------------------------------------------------ */

/* Wait before the attempt after "failed" failed ones; random in [0,1) */
extern int64 backoff_interval(const JobPolicy *policy, int32 failed, double random);

/* ------------------------------------------------------------------------
 * job/execute.c: run one job's work inside the transaction that the worker has
 * opened (a procedure or VACUUM may have replaced it on return); errors are
 * thrown.  Result as JSON or NULL, in the current memory context, which must
 * outlive transactions.
 * ------------------------------------------------------------------------ */
extern Jsonb *execute_job(const Job *job);
extern void command_check(const char *sql); /* at enqueue: one statement, allowed kind */

/* ------------------------------------------------------------------------
 * job/session.c: between jobs no trace is left
 * ------------------------------------------------------------------------ */
extern void session_before_job(void);	/* in the job's transaction, before its work */
extern void session_after_job(void);	/* in it, after its work, before its end */
extern void session_between_jobs(void); /* outside any transaction */

/* ------------------------------------------------------------------------
 * job/job_log.c: collects NOTICE and above, and defer.log(), while a job runs
 * ------------------------------------------------------------------------ */
extern void job_log_init(void); /* worker start */
extern void job_log_begin(void);
extern void job_log_write(int64 job_id, Oid owner, int32 attempt);	/* insert what was collected */
extern void job_log_add(int elevel, const char *message);
extern void job_log_end(void);	/* forget */

/* ------------------------------------------------------------------------
 * job/current_job.c: the job that this process runs, for whoever asks
 * ------------------------------------------------------------------------ */
typedef struct CurrentJob
{
	const Job  *job;			/* NULL: this process runs none */
	bool		snooze;			/* defer.snooze was called ... */
	int64		snooze_for;		/* ... microseconds */
	bool		give_up;		/* defer.give_up was called */
} CurrentJob;
extern CurrentJob current_job;

/* ------------------------------------------------------------------------
 * job/batch.c: taking jobs back
 * ------------------------------------------------------------------------ */
typedef enum BatchWithdraw
{
	BATCH_NOT_CLAIMED,			/* no live worker has it */
	BATCH_WITHDRAWN,			/* it was waiting in a batch: now it is not, the caller may change the row */
	BATCH_RUNNING,				/* it runs, or has just ended */
} BatchWithdraw;
extern BatchWithdraw batch_withdraw(int64 job_id);
extern bool worker_cancel_job(int64 job_id);	/* force: false when nobody runs it */

/* ------------------------------------------------------------------------
 * schedule/tick.c: ticks
 * ------------------------------------------------------------------------ */

/*
 * Enqueue what is due at "now", move each schedule on; each batch of schedules
 * in a transaction of its own (own_transactions) or in the caller's.  Returns
 * when to look again (DT_NOEND: nothing).  A schedule that cannot go on is
 * noted in last_error and set aside; it never stops the rest.
 */
extern TimestampTz schedule_run_due(TimestampTz now, bool own_transactions);

/* Set free the runs that overlap => 'queue' holds back, in the caller's transaction */
extern bool schedule_release_held(void);	/* false: not all, try again */
/* Make function/direct_call_check.c's set in shared memory anew from the table, in the caller's transaction */
extern void schedule_load_set(void);

/* ------------------------------------------------------------------------
 * function/direct_call_check.c: a scheduled function is not called directly
 * ------------------------------------------------------------------------ */
extern void direct_call_check_init(void);
extern bool direct_call_in_worker;	/* this process is a worker: calls are allowed */
extern void scheduled_set_add(Oid database, Oid function);	/* into the shared set */

/* May the current user neither call nor enqueue it, because of a schedule? */
extern bool direct_call_is_scheduled(Oid function);
/* A schedule of the function has come, gone or changed: everybody look again, at commit */
extern void direct_call_changed(Oid function);

#endif							/* DEFER_H */
