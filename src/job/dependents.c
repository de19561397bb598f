/*
 * dependents.c
 *		Jobs that come after other jobs: what happens when one of those ends.
 *
 * In the transaction that ends a job, the rows of defer.dependency that await it are
 * closed.  A later job that has no open row left is made ready by that, so it can
 * begin at once when the transaction has committed.  If the job did not succeed,
 * the later one is cancelled, or is held until a rerun succeeds, or goes on all
 * the same.
 *
 * Rows that other sessions have locked are never waited for: the scheduler comes
 * back to them (job/dependents_task.c).  It also has what is more than a hundred,
 * and the jobs that come after those which are cancelled here, so there is no
 * recursion.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/job_kind.h"
#include "base/job_state.h"
#include "base/timer.h"
#include "shmem/dependents.h"
#include "shmem/dependents_counts.h"
#include "table/dependency_table.h"
#include "table/step_table.h"
#include "table/fan_out_count.h"
#include "table/job_by_id.h"
#include "job/after.h"
#include "job/control.h"
#include "job/current_job.h"
#include "job/dependents.h"
#include "job/end.h"
#include "job/held.h"

/* Dependencies that the transaction which ends a job treats itself */
#define SETTLE_AT_END	100

/* In the scheduler */
void		(*dependents_prepare) (Job *job) = NULL;

/* A job that is cancelled here ends, and so comes by here: not in the same call */
static bool settling = false;

/* ------------------------------------------------------------------------
 * The later job
 * ------------------------------------------------------------------------ */

void
dependents_stop_waiting(Job *job)
{
	if (job->waits == WAITS_NOTHING)
		return;
	if (!waits_for_jobs(job->waits))
		(void) dependents_wait_end(job->id);
	job->waits = WAITS_NOTHING;
	job->run_at = job->not_before;
	job->not_before = NO_TIME;
	job->discard_at = NO_TIME;
}

bool
dependents_are_over(int64 id, char waits)
{
	switch (waits)
	{
		case WAITS_JOBS:
		case WAITS_PREPARE:
			return !dependency_has_open(id, 0);
		case WAITS_STEP_JOBS:
			return !dependency_step_open(id);
		case WAITS_EVENT:
			return dependency_step_closed(id);
	}
	return false;
}

/*
 * The row of a job that runs is not locked, which would hold up its worker: a pass that
 * has looked before may be about to wait on.
 */
bool
dependents_check_waiting(int64 id)
{
	Job			job;

	if (!job_read(id, &job) || !dependents_are_over(id, job.waits))
		return true;
	if (job.claim != 0)
		return waits_for_jobs(job.waits);
	if (job.waits == WAITS_PREPARE && dependents_prepare == NULL)
		return false;
	switch (job_lock_claim(id, 0, true, &job))
	{
		case JOB_BUSY:
			return false;
		case JOB_GONE:
			return !job_read(id, &job);
		case JOB_LOCKED:
			break;
	}
	if (!dependents_are_over(id, job.waits))
		return true;
	if (job.waits == WAITS_PREPARE)
		dependents_prepare(&job);
	else
		job_unhold(&job);
	return true;
}

/* A row of it was closed: it may have been the last one */
static void
release(const Dependency *row)
{
	bool		more = row->after_failure == AFTER_FAILURE_WAKE ? false :
		row->ord < 0 ? dependency_step_open(row->child_id) :
		dependency_has_open(row->child_id, row->ord);

	if (more)
		dependents_still_open(row->child_id);
	else if (!dependents_check_waiting(row->child_id))
		dependents_tell(row->child_id, true);
}

/* ------------------------------------------------------------------------
 * Steps that wait
 * ------------------------------------------------------------------------ */

void
dependents_wait(const Job *job, int n, const int64 *ids, const bool *open, char after_failure)
{
	Dependency *rows;
	int			first = dependency_of_step(job->id, &rows) > 0 ? rows[0].ord : 0;

	/*
	 * others may have locked rows of before; that of an event is odd
	 * (event_rekey())
	 */
	if (first % 2 != 0)
		first--;
	for (int i = 0; i < n; i++)
	{
		Dependency	row = {
			.child_id = job->id, .ord = first - 1 - i, .owner = job->owner, .parent_id = ids[i],
			.awaits_id = ids[i], .open = open[i], .after_failure = after_failure
		};

		CHECK_FOR_INTERRUPTS();
		dependency_insert(&row);
		if (open[i])
			dependents_opened(ids[i]);
	}
}

bool
dependents_wait_end(int64 id)
{
	Dependency *rows;
	int			n = dependency_of_step(id, &rows);
	bool		all = true;

	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (rows[i].open && rows[i].after_failure == AFTER_FAILURE_OWN)
			continue;			/* it is to be cancelled */
		if (!dependency_delete(&rows[i]))
			all = false;
		else if (rows[i].open)
			dependents_closed(rows[i].awaits_id);
	}
	pfree(rows);
	return all;
}

/* ------------------------------------------------------------------------
 * One dependency
 * ------------------------------------------------------------------------ */

/* Check that the row awaits this end of this job */
static bool
concerns(const Dependency *row, const EndedJob *ended)
{
	if (!ended->of_line)
		return row->parent_id == ended->id && row->state == PARENT_NOT_ENDED;
	if (row->state == PARENT_NOT_ENDED)
		return false;
	return ended->state == STATE_SUCCEEDED || row->parent_id == ended->id;
}

/* Close a row, and count it off */
static bool
write_row(Dependency *row, const EndedJob *ended, bool open)
{
	int64		awaited = row->awaits_id;

	row->parent_id = ended->id;
	row->state = ended->state;
	row->open = open;
	if (open)
		row->awaits_id = ended->line;
	if (!dependency_update(row))
		return false;
	dependents_closed(awaited);
	if (open)
		dependents_opened(row->awaits_id);
	return true;
}

/* Cancel the later job, and close the row.  Returns false if it is locked */
static bool
cancel(Dependency *row, const EndedJob *ended)
{
	Job			job;
	JobLock		lock = job_lock(row->child_id, true, &job);

	if (lock == JOB_BUSY || !write_row(row, ended, false))
		return false;
	if (lock == JOB_LOCKED && waits_for_jobs(job.waits))
	{
		dependents_stop_waiting(&job);
		job_end(&job, STATE_CANCELLED, job.attempt, NO_TIME, NULL, NULL,
				after_reason(ended->id, ended->state));
		job_delete(job.id);
	}
	return true;
}

/* Returns false if another session has locked what is to be written */
static bool
settle_row(Dependency *row, const EndedJob *ended)
{
	const bool	hold = row->after_failure == AFTER_FAILURE_HOLD && ended->state != STATE_SUCCEEDED;

	if (hold && ended->state != PARENT_GONE)
		return write_row(row, ended, true);
	if (hold || dependency_cancels(row, ended->state))
		return cancel(row, ended);
	if (!write_row(row, ended, false))
		return false;
	release(row);
	return true;
}

/* ------------------------------------------------------------------------
 * All of a job
 * ------------------------------------------------------------------------ */

/* A part of the rows that await one id.  Returns how many were read; max: there may be more */
static int
settle_part(EndedJob *ended, int64 awaits_id, int max, bool *busy)
{
	Dependency *rows;
	int			n = dependency_awaiting(awaits_id, ended->after, max, &rows);
	bool		late = false;

	for (int i = 0; i < n && !late; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (concerns(&rows[i], ended) && !settle_row(&rows[i], ended))
			*busy = true;
		ended->after = rows[i].child_id;
		/* to prepare a step of a workflow may take long */
		late = ended->until != 0 && i + 1 < n && rows[i + 1].child_id != rows[i].child_id &&
			monotonic_now() > ended->until;
	}
	pfree(rows);
	return late ? max : n;
}

/*
 * Those that await the job itself; then, if it has succeeded, those that are held for
 * one of its line: for an earlier end of itself, if it was taken on again.
 */
static bool
settle_all(EndedJob *ended, int max, bool *busy)
{
	int			n = 0;

	if (!ended->of_line)
	{
		n = settle_part(ended, ended->id, max, busy);
		if (n == max)
			return true;
		ended->of_line = true;
		ended->after = 0;
	}
	if (ended->state != PARENT_GONE && ended->state != STATE_SUCCEEDED)
		return false;
	return settle_part(ended, ended->line, max - n, busy) == max - n;
}

bool
dependents_settle(EndedJob *ended, int max, bool *busy)
{
	bool		more;

	settling = true;
	PG_TRY();
	{
		more = settle_all(ended, max, busy);
	}
	PG_FINALLY();
	{
		settling = false;
	}
	PG_END_TRY();
	return more;
}

/* ------------------------------------------------------------------------
 * Jobs that belong to one which has ended
 * ------------------------------------------------------------------------ */

/* Check whether a job that has ended is unfinished again: then its rows are those of a new wait */
static bool
is_taken_on_again(int64 id)
{
	JobLook		look;

	job_look(id, &look);
	return look.found && look.state == PARENT_NOT_ENDED;
}

bool
dependents_stop_own(EndedJob *ended, int max, bool *busy)
{
	Dependency *rows;
	int			n;

	if (ended->state == STATE_SUCCEEDED)
		return false;
	n = dependency_own(ended->id, ended->own_after, max, &rows);
	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!job_stop(rows[i].awaits_id))
			*busy = true;
		ended->own_after = rows[i].ord;
	}
	pfree(rows);
	if (n < max && !*busy && !is_taken_on_again(ended->id))
		(void) dependents_wait_end(ended->id);
	return n == max;
}

/* Check whether the job, which ends otherwise than well, waits for some of its own */
static bool
has_own(const Job *job)
{
	Dependency *rows;

	return kind_has_own(job->kind) && dependency_own(job->id, PG_INT32_MIN, 1, &rows) > 0;
}

/*
 * Delete the rows of a step that waited.  It does so itself, unless the job ends before
 * it is called again, or is called with a procedure without that step.
 */
static void
end_step_wait(const Job *job, char state)
{
	if (job->kind != JOB_PROCEDURE || (state == STATE_SUCCEEDED && !current_job.has_pass))
		return;
	/* values stored out of line are not deleted without one */
	PushActiveSnapshot(GetTransactionSnapshot());
	(void) dependents_wait_end(job->id);
	PopActiveSnapshot();
}

void
dependents_end(const Job *job, char state)
{
	EndedJob	ended = {.id = job->id, .line = job->rerun_of != 0 ? job->rerun_of : job->id,
		.state = state};
	bool		awaited = dependents_ending(job->id);
	bool		held = state == STATE_SUCCEEDED && ended.line != job->id &&
		dependents_may_have(ended.line);
	bool		busy = false;

	fan_out_close(job->id);
	if (state != STATE_SUCCEEDED && job->kind == JOB_PROCEDURE && job->first_started_at != 0)
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		step_stop_waiting(job->id);
		PopActiveSnapshot();
	}
	if (state != STATE_SUCCEEDED && has_own(job))
		dependents_tell(job->id, false);
	else
		end_step_wait(job, state);
	if (!awaited && !held)
		return;
	if (settling || dependents_settle(&ended, SETTLE_AT_END, &busy) || busy)
		dependents_tell(job->id, false);
}

void
dependents_end_key(int64 key, bool later)
{
	EndedJob	ended = {.id = key, .line = key, .state = STATE_SUCCEEDED};
	bool		busy = false;

	if (dependents_ending(key) &&
		(later || dependents_settle(&ended, SETTLE_AT_END, &busy) || busy))
		dependents_tell(key, false);
}
