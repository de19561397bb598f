/*
 * key.c
 *		Enqueuing a job whose key another may have.
 *
 * The unique index of keys decides who has one: at most one job of an owner and
 * a function that has not ended.  A session that has inserted its row makes all
 * others with that key wait, so what it does next about the key no other session
 * does at the same time.
 *
 *				waits, or between	runs				has ended, but
 *				attempts								key_for is not over
 *	keep		kept				kept				kept
 *	replace		replaced			queued_behind		kept
 *	debounce	replaced			queued_behind		kept
 *	error		error				error				error
 *
 * A job that runs while its key_for is not over is kept in all modes: one more
 * would be the second of that time.
 */
#include "postgres.h"

#include "common/int.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "config/job_caps.h"
#include "job/batch.h"
#include "job/behind.h"
#include "job/held.h"
#include "job/key.h"
#include "job/lease.h"
#include "shmem/xact_notify_job.h"
#include "table/history_table.h"
#include "table/job_insert.h"
#include "table/job_by_id.h"
#include "table/key_hold.h"
#include "table/rollup.h"
#include "table/step_table.h"

/* The state of the job that has the key; its row is locked unless it has gone */
typedef enum HolderState
{
	HOLDER_GONE,				/* it has no row, or not the key, any more */
	HOLDER_WAITS,
	HOLDER_RUNS
} HolderState;

/*
 * Delete the row of a job that has ended, if it has, and count the job.  Its
 * worker found the row locked, and left that for later.
 */
static bool
delete_if_ended(const Job *holder)
{
	return history_has_ended(holder) && rollup_delete_ended(holder, rollup_add);
}

/*
 * Lock the row of the job that has the key, and find out its state.  If it
 * waits in a worker's batch it is taken out of that.
 */
static HolderState
lock_holder(int64 id, Job *holder)
{
	bool		runs;

	if (job_lock(id, false, holder) != JOB_LOCKED || holder->followed_by != 0)
		return HOLDER_GONE;

	/*
	 * a procedure that has done a step has begun: it cannot become another
	 * job
	 */
	runs = (holder->claim != 0 && batch_job_runs(id)) || step_any(id);
	if (delete_if_ended(holder))
		return HOLDER_GONE;
	return runs ? HOLDER_RUNS : HOLDER_WAITS;
}

/* Check whether the job that has the key has not ended */
static bool
is_unfinished(const KeyHolder *holder)
{
	Job			job;

	if (!holder->claimed || !history_exists(holder->id))
		return true;
	(void) lock_holder(holder->id, &job);
	return false;
}

static void
raise_key_error(const Job *job, int64 holder, bool held)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("job " INT64_FORMAT " of function %s has the same key", holder,
					text_to_cstring(job->function)),
			 held ? errdetail("It was enqueued with \"key_for\", and that time is not over.") : 0,
			 errhint("With \"on_key\" of \"keep\" that job's id is returned, with \"replace\" or \"debounce\" it is changed.")));
}

/* Return the job that has the key as it is, or raise the error that is wanted */
static int64
keep(const Job *job, const KeyRule *rule, int64 holder, bool held, EnqueueOutcome *outcome)
{
	if (rule->on_key == ON_KEY_ERROR)
		raise_key_error(job, holder, held);
	*outcome = ENQUEUE_KEPT;
	return holder;
}

/*
 * Make the job no later than debounce_max after the first of those that it
 * replaces.
 */
static void
limit_debounce(Job *job, const Job *first, const KeyRule *rule, TimestampTz now)
{
	TimestampTz latest;

	if (rule->on_key != ON_KEY_DEBOUNCE ||
		pg_add_s64_overflow(first->enqueued_at, rule->debounce_max, &latest))
		return;
	latest = Max(latest, now);
	if (latest >= job->run_at)
		return;
	if (job->discard_at != NO_TIME)
		job->discard_at -= job->run_at - latest;
	job->run_at = latest;
}

/*
 * Write the job into the row of the one that has not begun.  It stays the same
 * job to those who await it, and its attempts begin anew.
 */
static int64
replace(Job *job, const Job *old, const KeyRule *rule)
{
	job->id = old->id;
	job->parent_id = old->parent_id;
	job->fan_out_id = old->fan_out_id;
	job->rerun_of = old->rerun_of;
	job->suspect = old->suspect;

	/* a job that has begun before is no longer the first of a series */
	if (old->attempt == 0 && old->conflicts == 0)
	{
		limit_debounce(job, old, rule, job->enqueued_at);
		job->enqueued_at = old->enqueued_at;
	}
	if (old->behind != 0)
	{
		job->behind = old->behind;
		job_hold(job);
	}
	else if (old->waits != WAITS_NOTHING)
	{
		/* it goes on waiting for the same jobs */
		job->waits = old->waits;
		job_hold(job);
	}
	job_update(job);
	job_caps_moved(old, job);
	xact_notify_job(job);
	return job->id;
}

/*
 * Finish the enqueue of a job whose row was inserted.  While that waited for
 * another session, that one's job may have ended already, with a key that still
 * counts: then ours is deleted, and false returned.
 */
static bool
settle_new(const Job *job, const KeyRule *rule, TimestampTz now, int64 *holder)
{
	if (key_hold_find(job, now, holder))
	{
		job_delete(job->id);
		return false;
	}
	if (rule->key_for > 0)
		key_hold_set(job, now + rule->key_for);
	return true;
}

int64
key_enqueue(Job *job, const KeyRule *rule, EnqueueOutcome *outcome)
{
	const TimestampTz now = job->enqueued_at;
	JobCaps		caps;
	const bool	changes = rule->on_key == ON_KEY_REPLACE || rule->on_key == ON_KEY_DEBOUNCE;

	job_caps_find(&caps, job);
	lease_write_ends();			/* one of them may be of the job that has the
								 * key */
	for (;;)
	{
		int64		held_by;

		/*
		 * a call without key_for looks only once, when it has a row or needs
		 * to know
		 */
		bool		held = rule->key_for > 0 && key_hold_find(job, now, &held_by);
		KeyHolder	holder;
		Job			old;

		CHECK_FOR_INTERRUPTS();
		if (held && (!changes || !job_read(held_by, &old)))
			return keep(job, rule, held_by, true, outcome);
		if (job_insert_key(job, &holder))
		{
			if (!settle_new(job, rule, now, &held_by))
				return keep(job, rule, held_by, true, outcome);
			job_caps_count(&caps, job);
			*outcome = ENQUEUE_CREATED;
			return job->id;
		}
		if (!changes)
		{
			if (is_unfinished(&holder))
				return keep(job, rule, holder.id, false, outcome);
			continue;
		}
		switch (lock_holder(holder.id, &old))
		{
			case HOLDER_GONE:
				break;
			case HOLDER_WAITS:
				*outcome = ENQUEUE_REPLACED;
				return replace(job, &old, rule);
			case HOLDER_RUNS:
				if (held || key_hold_find(job, now, &held_by))
					return keep(job, rule, holder.id, true, outcome);
				behind_insert(job, &old);
				job_caps_count(&caps, job);
				if (rule->key_for > 0)
					key_hold_set(job, now + rule->key_for);
				*outcome = ENQUEUE_QUEUED_BEHIND;
				return job->id;
		}
	}
}
