/*
 * job_caps.c
 *		New jobs under max_queued of their function and queue.
 *
 * The counts are in shared memory (shmem/caps.c).  A session that finds a cap whose jobs
 * were not counted yet counts them, from the table, and others that need it wait for that.
 * So a restart of the server, or a cap that is set, costs one read of defer.job for each
 * cap, when it is used first.
 *
 * A cap holds from the commit that sets it: the transaction that does so is not under it,
 * as no other one knows of it, and its jobs are counted after that.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/errcodes.h"
#include "base/timer.h"
#include "config/job_caps.h"
#include "config/queue_access.h"
#include "shmem/shmem.h"
#include "table/cap_scan.h"
#include "table/job_by_id.h"
#include "table/job_insert.h"
#include "table/job_table.h"

/* ------------------------------------------------------------------------
 * The caps of a job
 * ------------------------------------------------------------------------ */

bool
setting_cap_holds(const SettingCap *cap)
{
	return cap->number != 0 && !caps_made_here(cap->number);
}

/* The number in shared memory: a copy of a database has the same rows */
static int64
shared_number(const SettingCap *cap)
{
	int64		number = (int64) hash_combine64((uint64) cap->number, MyDatabaseId);

	return number != 0 ? number : 1;
}

void
job_caps_state(const SettingCap *cap, CapState *state)
{
	memset(state, 0, sizeof(CapState));
	if (cap->number != 0)
		caps_state(shared_number(cap), state);
}

static void
add_need(JobCaps *caps, const SettingCap *cap, Oid owner, const text *group, bool of_queue)
{
	CapNeed    *need = &caps->needs[caps->n];

	if (!setting_cap_holds(cap))
		return;
	need->cap = shared_number(cap);
	need->owner = owner;
	need->max = cap->max;
	need->group_max = cap->group_max;
	need->group = group == NULL || cap->group_max < 0 ? 0 :
		limits_group_hash(VARDATA_ANY(group), VARSIZE_ANY_EXHDR(group));
	caps->of_queue[caps->n++] = of_queue;
}

static void
read_needs(JobCaps *caps, const Job *job)
{
	const FunctionSettings *function;
	const QueueSettings *queue;

	caps->n = 0;
	caps->denial = (CapDenial) {0};
	caps->generation = caps_generation();
	function = function_settings(text_to_cstring(job->function));
	add_need(caps, &function->cap, function->owner, job->group_key, false);
	queue = queue_settings(text_to_cstring(job->queue));
	add_need(caps, &queue->cap, queue->owner, job->group_key, true);
	if (caps->n > 0 && shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"max_queued\" of a function or queue needs defer in shared_preload_libraries"),
				 errhint("Add defer to shared_preload_libraries in postgresql.conf and restart the server.")));
}

/* ------------------------------------------------------------------------
 * Counting from the table
 * ------------------------------------------------------------------------ */

/* A group and its jobs */
typedef struct GroupCount
{
	int64		group;			/* key */
	int32		n;
} GroupCount;

typedef struct Counted
{
	HTAB	   *groups;			/* NULL: they have no limit */
	int64		last;			/* 0: none yet */
	GroupCount *count;			/* of that */
	int32		others;			/* jobs without a group */
} Counted;

static void
count_job(const text *group, void *arg)
{
	Counted    *counted = arg;
	int64		hash;
	bool		found;

	if (group == NULL || counted->groups == NULL)
	{
		counted->others++;
		return;
	}
	hash = limits_group_hash(VARDATA_ANY(group), VARSIZE_ANY_EXHDR(group));
	if (hash != counted->last)
	{
		counted->last = hash;
		counted->count = hash_search(counted->groups, &hash, HASH_ENTER, &found);
		if (!found)
			counted->count->n = 0;
	}
	counted->count->n++;
}

static void
count_rows(const CapNeed *need, uint32 number, char kind, const char *name)
{
	HASHCTL		control = {0};
	Counted		counted = {0};
	Snapshot	snapshot;
	int64		since = monotonic_now();

	if (need->group_max >= 0)
	{
		control.keysize = sizeof(int64);
		control.entrysize = sizeof(GroupCount);
		control.hcxt = CurrentMemoryContext;
		counted.groups = hash_create("defer counted groups", 1024, &control,
									 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	PushActiveSnapshot(snapshot);
	caps_load_cut(need->cap, number);
	cap_scan(kind, name, snapshot, count_job, &counted);
	PopActiveSnapshot();
	UnregisterSnapshot(snapshot);
	caps_load_add(need->cap, number, 0, counted.others);
	if (counted.groups != NULL)
	{
		HASH_SEQ_STATUS scan;
		GroupCount *count;

		hash_seq_init(&scan, counted.groups);
		while ((count = hash_seq_search(&scan)) != NULL)
			caps_load_add(need->cap, number, count->group, count->n);
	}
	caps_load_end(need->cap, number, monotonic_now() - since);
}

/* Count the jobs under one of the caps, unless that was done meanwhile */
static void
count_need(const CapNeed *need, bool of_queue, const Job *job, bool again)
{
	MemoryContext context;
	uint32		number;

	(void) job_table();			/* no lock is waited for while others wait for
								 * us */
	number = caps_load_begin(need, again);
	if (number == 0)
		return;
	context = MemoryContextSwitchTo(AllocSetContextCreate(CurrentMemoryContext,
														  "defer count of jobs",
														  ALLOCSET_DEFAULT_SIZES));
	count_rows(need, number, of_queue ? 'q' : 'f',
			   text_to_cstring(of_queue ? job->queue : job->function));
	MemoryContextDelete(MemoryContextSwitchTo(context));
}

/* ------------------------------------------------------------------------
 * New jobs
 * ------------------------------------------------------------------------ */

static void
raise_full(const JobCaps *caps, const Job *job)
{
	const CapNeed *need = &caps->needs[caps->denial.need];
	bool		of_queue = caps->of_queue[caps->denial.need];
	char	   *name = of_queue ? psprintf("queue \"%s\"", text_to_cstring(job->queue)) :
		psprintf("function %s", text_to_cstring(job->function));
	const char *hint = of_queue ? "defer.alter_queue()" : "defer.configure()";

	caps_refuse(need);
	if (!caps->denial.of_group)
		ereport(ERROR,
				(errcode(ERRCODE_QUEUE_FULL),
				 errmsg("%s has as many unfinished jobs as it may have", name),
				 errdetail("Its \"max_queued\" is %d. Jobs of transactions that are not committed are counted, too.",
						   need->max),
				 errhint("Try again when some have ended, or raise \"max_queued\" with %s.", hint)));
	ereport(ERROR,
			(errcode(ERRCODE_QUEUE_FULL),
			 errmsg("group \"%s\" of %s has as many unfinished jobs as it may have",
					text_to_cstring(job->group_key), name),
			 caps->denial.together ?
			 errdetail("Its \"group_max_queued\" is %d. Groups that have found no room in shared memory are counted together.",
					   need->group_max) :
			 errdetail("Its \"group_max_queued\" is %d. Jobs of transactions that are not committed are counted, too.",
					   need->group_max),
			 caps->denial.together ?
			 errhint("Have the administrator raise defer.shared_slots and restart the server.") :
			 errhint("Try again when some have ended, or raise \"group_max_queued\" with %s.", hint)));
}

/* Count what was not, or may be counted too high.  Returns false if that changes nothing */
static bool
count_again(const JobCaps *caps, CapTaken taken, const Job *job)
{
	int			need;

	if (taken == CAP_TAKEN || (taken == CAP_FULL && !caps->denial.may_recount))
		return false;
	need = caps->denial.need;
	count_need(&caps->needs[need], caps->of_queue[need], job, taken == CAP_FULL);
	return true;
}

void
job_caps_find(JobCaps *caps, const Job *job)
{
	CapTaken	taken;

	caps->n = 0;
	caps->full = false;
	caps->count = 0;
	caps->generation = job->caps_generation;
	if (!job->capped && caps->generation == caps_generation())
	{
		caps_note_job(caps->generation);
		return;
	}
	do
	{
		read_needs(caps, job);
		taken = caps->n == 0 ? CAP_TAKEN :
			caps_look(caps->needs, caps->n, &caps->denial, &caps->count);
	} while (count_again(caps, taken, job) || caps->generation != caps_generation());
	caps->full = taken == CAP_FULL && !job->exceeds_caps;
	caps_note_job(caps->generation);
}

/* Take a place for a job that has a row now; false: there is none */
static bool
take(JobCaps *caps, const Job *job)
{
	CapTaken	taken;

	/* the row first: see shmem/caps.c */
	pg_memory_barrier();
	if (caps->generation == caps_generation() && caps->n == 0)
		return true;
	for (;;)
	{
		if (caps->generation != caps_generation())
		{
			read_needs(caps, job);
			caps->count = 0;
		}
		if (caps->n == 0)
			return true;
		taken = caps_take(caps->needs, caps->n, job->exceeds_caps, caps->count, &caps->denial);
		if (taken == CAP_TAKEN)
			return true;
		if (!count_again(caps, taken, job))
			return false;
		caps->count = 0;		/* the row may have been counted */
	}
}

void
job_caps_count(JobCaps *caps, const Job *job)
{
	if (!take(caps, job))
		raise_full(caps, job);
}

int64
job_caps_insert(Job *job)
{
	JobCaps		caps;

	job_caps_find(&caps, job);
	if (caps.full)
		raise_full(&caps, job);
	(void) job_insert(job);
	job_caps_count(&caps, job);
	return job->id;
}

bool
job_caps_insert_if_room(Job *job)
{
	JobCaps		caps;

	job_caps_find(&caps, job);
	if (!caps.full)
	{
		(void) job_insert(job);
		if (take(&caps, job))
			return true;
		job_delete(job->id);
	}
	caps_refuse(&caps.needs[caps.denial.need]);
	return false;
}

/* ------------------------------------------------------------------------
 * Old jobs
 * ------------------------------------------------------------------------ */

void
job_caps_ended(const Job *job)
{
	JobCaps		caps;

	caps_note_job(caps_generation());
	if (!caps_in_use())
		return;
	read_needs(&caps, job);
	for (int i = 0; i < caps.n; i++)
		caps_give(&caps.needs[i]);
}

static bool
same_text(const text *a, const text *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

void
job_caps_moved(const Job *old, const Job *job)
{
	JobCaps		caps;

	if (same_text(old->queue, job->queue) && same_text(old->group_key, job->group_key))
		return;
	job_caps_ended(old);
	job_caps_find(&caps, job);
	job_caps_count(&caps, job);
}
