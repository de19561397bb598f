/*
 * views.c
 *		Functions of the views: rights to see rows, the state of running jobs
 *		and of our processes in shared memory, next ticks of schedules.
 *
 * The tables are read as the owner of the views, but functions in a view run
 * as the current user.  So any user can call these functions, directly too,
 * and each of them tells no more than the views do.  None of them raises an
 * error about a row that is out of order: one schedule whose zone is gone must
 * not keep a user from seeing the others.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/guc.h"
#include "base/guc_delivery.h"
#include "base/guc_job.h"
#include "base/own_sql.h"
#include "base/roles.h"
#include "config/queue_access.h"
#include "job/current_job.h"
#include "pure/cron/cron.h"
#include "report/server_facts.h"
#include "schedule/cron_zone.h"
#include "shmem/databases.h"
#include "shmem/leases.h"
#include "shmem/workers.h"
#include "shmem/senders.h"

/* Most instants that defer.schedule_next_runs() tells */
#define MAX_NEXT_RUNS	1000

/* Seconds between the epochs of Unix and of PostgreSQL */
#define EPOCH_SECONDS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

/* One of our processes, copied out of shared memory */
typedef struct Process
{
	const char *kind;
	int			pid;
	Oid			database;		/* InvalidOid: none */
	Oid			role;			/* InvalidOid: none */
	TimestampTz since;			/* in this state since; of a job: its start */
	int64		job_id;			/* 0: none */
	float4		progress;		/* negative: not told */
} Process;

PG_FUNCTION_INFO_V1(defer_version);
PG_FUNCTION_INFO_V1(defer_may_see);
PG_FUNCTION_INFO_V1(defer_may_configure);
PG_FUNCTION_INFO_V1(defer_has_ended);
PG_FUNCTION_INFO_V1(defer_running_jobs);
PG_FUNCTION_INFO_V1(defer_processes);
PG_FUNCTION_INFO_V1(defer_server_state);
PG_FUNCTION_INFO_V1(defer_schedule_description);
PG_FUNCTION_INFO_V1(defer_schedule_next_runs);

Datum
defer_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(DEFER_VERSION));
}

/* ------------------------------------------------------------------------
 * Who may see what
 * ------------------------------------------------------------------------ */

/*
 * Check whether the current user may see objects of that role.  Called once a
 * row: the server keeps the memberships of the last role that was asked about,
 * so this is a search in a short list.
 */
Datum
defer_may_see(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(role_may_see(PG_GETARG_OID(0)));
}

/*
 * Check whether the current user may see the settings of a function or a task: a
 * user who may call it, or has a right to it.  Settings of a function that is gone
 * are for users who see everything.
 */
Datum
defer_may_configure(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(role_may_see(InvalidOid) ||
				   access_to_function(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/*
 * Check whether the query that is running sees a row of history for that job.
 * For rows of defer.job that are in a worker's batch: they stay there for a
 * while after they have ended.  It must be the query's own snapshot, so that a
 * job is never seen twice, nor missed.  A function, because the planner would
 * rather read all of history than look up a few hundred jobs.
 */
Datum
defer_has_ended(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	Datum		id = PG_GETARG_DATUM(0);
	Oid			type = INT8OID;
	OwnSql		own;
	bool		found = false;
	Oid			owner = InvalidOid;

	own_sql_begin(&own);
	SPI_connect();
	if (plan == NULL)
	{
		SPIPlanPtr	made = SPI_prepare("SELECT h.owner FROM defer.job_history h"
									   " WHERE h.id OPERATOR(pg_catalog.=) $1",
									   1, &type);

		if (made == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(made);
		plan = made;
	}
	if (SPI_execute_plan(plan, &id, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed");
	if (SPI_processed > 0)
	{
		bool		isnull;

		found = true;
		owner = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0],
											   SPI_tuptable->tupdesc, 1, &isnull));
	}
	SPI_finish();
	own_sql_end(&own);
	PG_RETURN_BOOL(found && role_may_see(owner));
}

/* ------------------------------------------------------------------------
 * Processes
 * ------------------------------------------------------------------------ */

static void
copy_worker(Process *process, WorkerSlot *slot)
{
	TimestampTz started;

	process->kind = "worker";
	process->pid = slot->process.pid;
	process->database = slot->database;
	process->role = slot->owner;
	LWLockAcquire(slot->lock, LW_SHARED);
	process->job_id = slot->current_job;
	process->progress = slot->progress;
	started = slot->job_started;
	LWLockRelease(slot->lock);
	process->since = process->job_id != 0 ? started : slot->process.since;
}

/* Copy what runs now; returns how many there are */
static int
copy_processes(Process **result)
{
	Process    *processes;
	int			n = 0;

	if (shared == NULL)
		return 0;

	/* not under the lock: palloc may fail */
	processes = palloc0(sizeof(Process) *
						(1 + 2 * shared->ndatabase_slots + shared->nworker_slots));
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	if (shared->launcher.pid != 0)
	{
		processes[n].kind = "launcher";
		processes[n].pid = shared->launcher.pid;
		processes[n++].since = shared->launcher.since;
	}
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		DatabaseSlot *slot = &database_slots[i];

		if (!OidIsValid(slot->database) || slot->scheduler.pid == 0)
			continue;
		processes[n].kind = "scheduler";
		processes[n].pid = slot->scheduler.pid;
		processes[n].database = slot->database;
		processes[n++].since = slot->scheduler.since;
	}
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		SenderSlot *slot = &sender_slots[i];

		if (!OidIsValid(slot->database) || slot->process.pid == 0)
			continue;
		processes[n].kind = "sender";
		processes[n].pid = slot->process.pid;
		processes[n].database = slot->database;
		processes[n++].since = slot->process.since;
	}
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		if (worker_slots[i].state != WORKER_FREE && worker_slots[i].process.pid != 0)
			copy_worker(&processes[n++], &worker_slots[i]);
	}
	LWLockRelease(shared->workers_lock);
	*result = processes;
	return n;
}

/* Copy what the sender of this database has under way; returns how many there are */
static int
copy_transfers(TransferEntry **result, int *pid)
{
	TransferEntry *entries;
	SenderSlot *slot;
	int			n = 0;

	if (shared == NULL)
		return 0;
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	slot = sender_slot(MyDatabaseId);
	if (slot == NULL || slot->process.pid == 0)
	{
		LWLockRelease(shared->workers_lock);
		return 0;
	}
	LWLockRelease(shared->workers_lock);

	/* not under the lock: palloc may fail */
	entries = palloc(TRANSFERS_MAX * sizeof(TransferEntry));
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	slot = sender_slot(MyDatabaseId);
	if (slot != NULL && slot->process.pid != 0)
	{
		*pid = slot->process.pid;
		LWLockAcquire(slot->lock, LW_SHARED);
		for (int i = 0; i < slot->nentries; i++)
		{
			if (slot->entries[i].job_id != 0)
				entries[n++] = slot->entries[i];
		}
		LWLockRelease(slot->lock);
	}
	LWLockRelease(shared->workers_lock);
	*result = entries;
	return n;
}

/* The jobs that run in this database, of roles that the user may see */
Datum
defer_running_jobs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Process    *processes = NULL;
	TransferEntry *transfers = NULL;
	Lease	   *leases;
	int			pid = 0;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	n = shared == NULL ? 0 : leases_copy(MyDatabaseId, &leases);
	for (int i = 0; i < n; i++)
	{
		Datum		values[4] = {0};
		bool		nulls[4] = {false, true, false, leases[i].progress < 0};

		if (leases[i].state == LEASE_TAKING || !role_may_see(leases[i].owner))
			continue;
		values[0] = Int64GetDatum(leases[i].tag.job_id);
		values[2] = TimestampTzGetDatum(leases[i].taken_at);
		values[3] = Float4GetDatum(leases[i].progress);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	n = copy_transfers(&transfers, &pid);
	for (int i = 0; i < n; i++)
	{
		Datum		values[4] = {0};
		bool		nulls[4] = {false, false, false, true};

		if (!role_may_see(transfers[i].owner))
			continue;
		values[0] = Int64GetDatum(transfers[i].job_id);
		values[1] = Int32GetDatum(pid);
		values[2] = TimestampTzGetDatum(transfers[i].started_at);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	n = copy_processes(&processes);
	for (int i = 0; i < n; i++)
	{
		Process    *process = &processes[i];
		Datum		values[4];
		bool		nulls[4] = {0};

		if (process->job_id == 0 || process->database != MyDatabaseId ||
			!role_may_see(process->role))
			continue;
		values[0] = Int64GetDatum(process->job_id);
		values[1] = Int32GetDatum(process->pid);
		values[2] = TimestampTzGetDatum(process->since);
		values[3] = Float4GetDatum(process->progress);
		nulls[3] = process->progress < 0;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * Return our processes on the whole server: the workers of roles that the user
 * may see; launcher and schedulers only for users who see everything.
 */
Datum
defer_processes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Process    *processes = NULL;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	n = copy_processes(&processes);
	for (int i = 0; i < n; i++)
	{
		Process    *process = &processes[i];
		Datum		values[6];
		bool		nulls[6] = {0};

		if (!role_may_see(process->role))
			continue;
		values[0] = Int32GetDatum(process->pid);
		values[1] = CStringGetTextDatum(process->kind);
		values[2] = ObjectIdGetDatum(process->database);
		nulls[2] = !OidIsValid(process->database);
		values[3] = ObjectIdGetDatum(process->role);
		nulls[3] = !OidIsValid(process->role);
		values[4] = Int64GetDatum(process->job_id);
		nulls[4] = process->job_id == 0;
		values[5] = TimestampTzGetDatum(process->since);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

void
server_facts(ServerFacts *facts)
{
	DatabaseSlot *slot;

	memset(facts, 0, sizeof(ServerFacts));
	if (shared == NULL)
		return;
	LWLockAcquire(shared->workers_lock, LW_SHARED);
	facts->launcher = shared->launcher.pid != 0;
	slot = database_slot(MyDatabaseId, false);
	if (slot != NULL)
	{
		facts->scheduler = slot->scheduler.pid != 0;
		facts->no_slots = slot->no_slots;
		facts->refused = slot->refused;
	}
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		if (worker_counts(&worker_slots[i]))
			facts->workers++;
	}
	LWLockRelease(shared->workers_lock);
}

bool
server_database_is_active(void)
{
	return catalog_is_active();
}

/* What defer.health wants to know about this server and this database */
Datum
defer_server_state(PG_FUNCTION_ARGS)
{
	ServerFacts facts;
	TupleDesc	desc;
	Datum		values[12];
	bool		nulls[12] = {0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	server_facts(&facts);
	values[0] = BoolGetDatum(shared != NULL);
	values[1] = BoolGetDatum(defer_enabled);
	values[2] = BoolGetDatum(server_database_is_active());
	values[3] = BoolGetDatum(RecoveryInProgress());
	values[4] = BoolGetDatum(facts.launcher);
	values[5] = BoolGetDatum(facts.scheduler);
	values[6] = BoolGetDatum(facts.no_slots);
	values[7] = BoolGetDatum(shared != NULL &&
							 ready_queues_overflow(MyDatabaseId, GetCurrentTimestamp()));
	values[8] = Int32GetDatum(facts.workers);
	values[9] = Int32GetDatum(defer_max_workers);
	values[10] = BoolGetDatum(defer_run_superuser_jobs);
	values[11] = BoolGetDatum(facts.refused);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* ------------------------------------------------------------------------
 * Schedules
 * ------------------------------------------------------------------------ */

/* In plain English; NULL when it cannot be read */
Datum
defer_schedule_description(PG_FUNCTION_ARGS)
{
	CronSchedule schedule;
	char		description[CRON_DESCRIPTION_MAX];

	if (!cron_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &schedule, NULL))
		PG_RETURN_NULL();
	cron_describe(&schedule, description, sizeof(description));
	PG_RETURN_TEXT_P(cstring_to_text(description));
}

/*
 * The next n times after an instant, as the schedule names them; NULL when
 * schedule or zone cannot be read.
 */
Datum
defer_schedule_next_runs(PG_FUNCTION_ARGS)
{
	char	   *zone_name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	TimestampTz after = PG_GETARG_TIMESTAMPTZ(2);
	int			wanted = PG_GETARG_INT32(3);
	CronSchedule schedule;
	CronZoneCache cache;
	const CronZone *zone;
	pg_tz	   *tz;
	Datum	   *times;
	int64		seconds;
	int			n = 0;

	if (wanted < 0 || wanted > MAX_NEXT_RUNS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of runs must be between 0 and %d", MAX_NEXT_RUNS)));
	tz = pg_tzset(zone_name);
	if (tz == NULL || TIMESTAMP_NOT_FINITE(after) ||
		!cron_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &schedule, NULL))
		PG_RETURN_NULL();
	zone = cron_zone_open(&cache, tz);
	times = palloc(sizeof(Datum) * Max(wanted, 1));
	seconds = after / USECS_PER_SEC - (after % USECS_PER_SEC < 0 ? 1 : 0) + EPOCH_SECONDS;
	while (n < wanted && cron_next(&schedule, zone, seconds, &seconds))
	{
		CHECK_FOR_INTERRUPTS();
		times[n++] = TimestampTzGetDatum((seconds - EPOCH_SECONDS) * USECS_PER_SEC);
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(times, n, TIMESTAMPTZOID, sizeof(TimestampTz),
										  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
