/*
 * take.c
 *		defer.take(): jobs of tasks for a worker outside of the server.
 *
 * It claims as the workers of the server do, ready queue by ready queue
 * (job/claim.c), but in the caller's transaction, and the jobs of all roles.  They
 * have one row of defer.claim, with a token, and a lease each from the commit on.
 *
 * What is half done when an error or the end of the process comes is given back as
 * the (sub)transaction ends.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/sequence.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/callbacks.h"
#include "base/catalog.h"
#include "base/client.h"
#include "base/guc.h"
#include "base/timer.h"
#include "config/job_policy.h"
#include "job/batch.h"
#include "job/claim.h"
#include "job/lease.h"
#include "shmem/scheduler_wake.h"
#include "shmem/limits.h"
#include "shmem/shmem.h"
#include "shmem/work_waiters.h"
#include "table/claim_table.h"
#include "task/task_call.h"

PG_FUNCTION_INFO_V1(defer_take);

/* Most jobs that one call takes */
#define TAKE_MAX		BATCH_MAX

/* Ready queues that one call reads at most */
#define QUEUES_MAX		64

/* A job that has no token can be taken again after this, at least (microseconds) */
#define TOKEN_WAIT		(10 * 1000)

/* One call */
typedef struct Take
{
	ReturnSetInfo *rsinfo;
	ReadyTasks	tasks;
	TimestampTz now;
	int64		length;
	char	   *worker;			/* NULL: no name */
	int64		claim_id;
	pg_uuid_t	token;
	int64		begin_at;		/* monotonic: the last of the jobs may begin */
	int			njobs;			/* taken so far */
	int64		ids[TAKE_MAX];
} Take;

/* What is reserved and not a lease's yet */
static struct
{
	bool		scanning;		/* a queue is chosen */
	int			places;			/* under these limits, besides that of the
								 * choice */
	LimitScopes scopes;
	int			leases;
	Oid			role;
}			reserved;

/* ------------------------------------------------------------------------
 * Reservations
 * ------------------------------------------------------------------------ */

static bool
release_places(void)
{
	bool		waited = false;

	for (; reserved.places > 0; reserved.places--)
		waited = limits_release(MyDatabaseId, &reserved.scopes, LIMITS_ALL) || waited;
	return waited;
}

/* Give back what a call has reserved that did not come to its end; throws nothing */
static void
abandon(void)
{
	if (reserved.scanning)
		ready_queue_scan_abandon(MyDatabaseId);
	reserved.scanning = false;
	if (release_places())
		database_wake_scheduler(MyDatabaseId);
	leases_unreserve(reserved.role, reserved.leases);
	reserved.leases = 0;
}

static void
xact_callback(XactEvent event)
{
	if (event == XACT_EVENT_ABORT && (reserved.leases > 0 || reserved.scanning))
		abandon();
}

static void
subxact_callback(SubXactEvent event)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && (reserved.leases > 0 || reserved.scanning))
		abandon();
}

/* ------------------------------------------------------------------------
 * Taking
 * ------------------------------------------------------------------------ */

/* The batch that claims fill, empty */
static Batch *
empty_batch(int64 claim_id)
{
	static Batch *fresh = NULL;

	if (fresh == NULL)
	{
		Batch	   *made = MemoryContextAllocZero(TopMemoryContext, sizeof(Batch));

		made->context = AllocSetContextCreate(TopMemoryContext, "defer take",
											  ALLOCSET_DEFAULT_SIZES);
		fresh = made;
	}
	MemoryContextReset(fresh->context);
	fresh->njobs = fresh->ngroups = 0;
	fresh->bytes = 0;
	fresh->claim_id = claim_id;
	return fresh;
}

static void
make_lease(const Take *take, const BatchJob *taken, const JobPolicy *policy, Lease *lease)
{
	const Job  *job = &taken->job;

	memset(lease, 0, sizeof(Lease));
	lease->tag = (LeaseTag) {job->id, MyDatabaseId, 0};
	lease->state = LEASE_TAKING;
	lease->claim_id = take->claim_id;
	lease->token = take->token;
	lease->role = reserved.role;
	lease->owner = job->owner;
	lease->length = take->length;
	lease->taken_at = lease->heard_at = take->now;
	lease->until = take->now + take->length;
	lease->deadline = policy->max_duration > 0 ? take->now + policy->max_duration : DT_NOEND;
	lease->progress = -1;
	lease->scopes = job->scopes;
	lease->row = taken->place.tid;
	lease->row_file = taken->place.file;
	strlcpy(lease->host, client_host(), LEASE_HOST_MAX);
	if (take->worker != NULL)
		strlcpy(lease->worker, take->worker, LEASE_WORKER_MAX);
}

/* Add a job to what the call returns */
static void
return_job(Take *take, const Job *job, const JobPolicy *policy, const Lease *lease)
{
	Datum		values[10];
	bool		nulls[10] = {0};

	values[0] = Int64GetDatum(job->id);
	values[1] = UUIDPGetDatum(&take->token);
	values[2] = PointerGetDatum(job->function);
	values[3] = PointerGetDatum(job->args);
	nulls[3] = job->args == NULL;
	values[4] = Int32GetDatum(job->attempt + 1);
	values[5] = Int32GetDatum(policy->max_attempts);
	values[6] = PointerGetDatum(job->metadata);
	nulls[6] = job->metadata == NULL;
	values[7] = PointerGetDatum(job->group_key);
	nulls[7] = job->group_key == NULL;
	values[8] = TimestampTzGetDatum(lease->until);
	values[9] = TimestampTzGetDatum(lease->deadline);
	nulls[9] = lease->deadline == DT_NOEND;
	tuplestore_putvalues(take->rsinfo->setResult, take->rsinfo->setDesc, values, nulls);
	take->ids[take->njobs++] = job->id;
}

/* A job that is claimed, and what it is to be */
typedef struct Claimed
{
	JobPolicy	policy;
	Lease		lease;
	int64		put_off;		/* its rates have no token; microseconds; -1:
								 * taken */
} Claimed;

/* Prepare the jobs of a batch: what may throw */
static Claimed *
prepare_batch(const Take *take, const Batch *batch_of)
{
	Claimed    *claimed = palloc(Max(batch_of->njobs, 1) * sizeof(Claimed));

	for (int i = 0; i < batch_of->njobs; i++)
	{
		const Job  *job = &batch_of->jobs[i].job;

		job_policy(job, &claimed[i].policy);
		make_lease(take, &batch_of->jobs[i], &claimed[i].policy, &claimed[i].lease);
	}
	return claimed;
}

/*
 * Take a token for a job, if its rates ask for one.  They are not written down, as those
 * of our processes are: the row would be locked as long as the caller's transaction is open.
 */
static void
take_token(Take *take, const Job *job, bool planned, Claimed *claimed)
{
	Token		token;

	claimed->put_off = -1;
	if (rates_take_token(MyDatabaseId, &job->scopes, planned, &token) == TOKEN_LATER)
	{
		if (planned && rates_without_token(MyDatabaseId, &job->scopes, 1))
			database_wake_scheduler(MyDatabaseId);
		claimed->put_off = Max(token.at - monotonic_now(), TOKEN_WAIT);
		return;
	}
	take->begin_at = Max(take->begin_at, token.at);
	if (token.waited)
		database_wake_scheduler(MyDatabaseId);
}

/* Make leases of the jobs that have got their tokens; throws nothing */
static void
take_batch(Take *take, const Batch *batch_of, bool planned, Claimed *claimed)
{
	for (int i = 0; i < batch_of->njobs; i++)
	{
		const Job  *job = &batch_of->jobs[i].job;

		take_token(take, job, planned, &claimed[i]);
		if (claimed[i].put_off >= 0)
			continue;
		lease_take(&claimed[i].lease, job);
		reserved.leases--;
		reserved.places--;
	}
}

/* Return those that are taken; set the others free, for later */
static void
return_batch(Take *take, const Batch *batch_of, const Claimed *claimed)
{
	for (int i = 0; i < batch_of->njobs; i++)
	{
		Job			job = batch_of->jobs[i].job;
		const DeliveryEnd later = {.outcome = DELIVERY_PUT_OFF, .wait = claimed[i].put_off};

		if (claimed[i].put_off < 0)
			return_job(take, &job, &claimed[i].policy, &claimed[i].lease);
		else
			finish_remote(&job, NO_TIME, &later);
	}
}

/* Let the time of the last token come, which may be some milliseconds off */
static void
await_tokens(const Take *take)
{
	while (take->begin_at > monotonic_now())
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(Max(take->begin_at - monotonic_now(), 1));
	}
}

/* There may be more to take at that time, which the scheduler may not know of */
static void
tell_next(const Take *take, TimestampTz at)
{
	if (at != DT_NOEND)
		database_check_work(MyDatabaseId, Max(at - take->now, 0));
}

/* Take up to max jobs of one ready queue; false: there is none that has any */
static bool
take_queue(Take *take, int max)
{
	TimestampTz next_check = DT_NOEND;
	ReadyClaim *ready = ready_queue_choose_task(MyDatabaseId, &take->tasks, take->now, &next_check);
	ReadyQueueChoice *choice;
	Claimed    *claimed;
	Batch	   *fresh;
	bool		waited;

	if (ready == NULL)
	{
		tell_next(take, next_check);
		return false;
	}
	reserved.scanning = true;
	choice = &ready->queues[0];
	reserved.scopes = choice->scopes;
	max = Max(Min(max, choice->share), 1);
	while (1 + reserved.places < max && limits_reserve(MyDatabaseId, &choice->scopes, LIMITS_ALL))
		reserved.places++;

	fresh = empty_batch(take->claim_id);
	claim_ready_queue(fresh, choice, 1 + reserved.places, take->now);
	claimed = prepare_batch(take, fresh);

	/* the place of the choice is given back by this, or is the first job's */
	reserved.scanning = false;
	waited = ready_queue_scan_end(ready, MyDatabaseId, take->now);
	if (fresh->njobs > 0)
		reserved.places++;
	take_batch(take, fresh, choice->planned > 0, claimed);
	work_waiters_taken(MyDatabaseId, choice->scopes.function_id, fresh->njobs);
	waited = release_places() || waited;
	return_batch(take, fresh, claimed);
	if (choice->next.run_at > take->now)
		next_check = Min(next_check, choice->next.run_at);
	tell_next(take, Min(next_check, ready->next_token));
	if (waited || (fresh->njobs > 0 && limits_cancel_at_limit(MyDatabaseId, &choice->scopes)))
		database_wake_scheduler(MyDatabaseId);
	return true;
}

/* Take up to max jobs, of the best ready queue first, and record the claim */
static void
take_jobs(Take *take, int max)
{
	ClaimRow	claim = {0};

	lease_take_begin(max);
	take->claim_id = nextval_internal(catalog_oid(CAT_CLAIM_ID_SEQ), false);
	for (int i = 0; i < QUEUES_MAX && take->njobs < max; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!take_queue(take, max - take->njobs))
			break;
	}
	leases_unreserve(reserved.role, reserved.leases);
	reserved.leases = 0;
	if (take->njobs == 0)
		return;
	await_tokens(take);
	claim.id = take->claim_id;
	claim.claimed_at = take->now;
	claim.njobs = take->njobs;
	claim.jobs = take->ids;
	claim.token = &take->token;
	claim.role = reserved.role;
	claim.length = take->length;
	claim.worker = take->worker;
	claim_row_insert(&claim, NULL);
}

static int
read_n(FunctionCallInfo fcinfo)
{
	int32		n;

	require_argument(fcinfo, 2, "n");
	n = args_int32(fcinfo, 2, "n");
	if (n < 1 || n > TAKE_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"n\" must be between 1 and %d", TAKE_MAX)));
	return n;
}

/* defer.take(tasks, queues, n, lease, worker) */
Datum
defer_take(PG_FUNCTION_ARGS)
{
	Take	   *take = palloc0(sizeof(Take));
	int			n;

	PreventCommandIfReadOnly("defer.take()");
	task_check_loaded();
	take->rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	take->now = GetCurrentTimestamp();
	n = read_n(fcinfo);
	require_argument(fcinfo, 3, "lease");
	take->length = task_read_length(fcinfo, 3, "lease");
	take->worker = task_read_worker(fcinfo, 4);
	task_read_wanted(fcinfo, 0, 1, &take->tasks);
	take->token = *DatumGetUUIDP(DirectFunctionCall1(gen_random_uuid, (Datum) 0));
	InitMaterializedSRF(fcinfo, 0);
	if (!defer_enabled || take->tasks.nfunctions == 0)
		return (Datum) 0;

	defer_on_xact_event(xact_callback);
	defer_on_subxact_event(subxact_callback);
	reserved.role = GetUserId();
	reserved.leases = leases_reserve(reserved.role, n);
	if (reserved.leases == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("role \"%s\" holds too many jobs of tasks",
						GetUserNameFromId(reserved.role, false)),
				 errdetail("A role can hold as many as it leaves free of defer.max_leases, which is %d.",
						   defer_max_leases),
				 errhint("End some, or have the administrator raise defer.max_leases.")));
	take_jobs(take, reserved.leases);
	return (Datum) 0;
}
