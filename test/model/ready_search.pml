/*
 * ready_search.pml
 *		No job is left behind in a ready queue that has no slot.
 *
 * There are more ready queues of a role than slots: here two, and one slot.  A
 * commit adds its job's queue: it has the slot, or gets it, or takes it from the
 * other one, or finds none.  What has no slot is remembered as "unlisted", and
 * the scheduler searches the index: it looks at one queue after the other, as
 * of then, and adds those that have jobs.  A worker claims from the queue that
 * has the slot, and may fail.
 *
 * Each mutant takes one precaution away, and must fail:
 * MUTANTS: EVICT_FORGETS SEARCH_FORGETS CLEAR_AFTER_LOOK FREE_WITHOUT_LOOK ABORT_FORGETS
 */
#define QUEUES	2
#define JOBS	3				/* of queue 0, 1, 0 */
#define NONE	QUEUES

byte free_jobs[QUEUES] = 0;		/* committed and not claimed, as a snapshot sees them */
byte enqueued = 0;
byte claimed = 0;
byte failures = 0;

/* the slot */
byte slot = NONE;				/* which queue has it */
bool has_jobs = false;			/* min_key is not READY_KEY_NONE */
bool added = false;				/* scan_min is not */
byte nclaims = 0;

bool unlisted = false;

inline give_slot(q)
{
	slot = q; has_jobs = true; added = false; nclaims = 0
}

/* ready_queue_add() of a commit, ready_queue_found() of a search */
inline add(q, remember)
{
	atomic {
		if
		:: slot == q ->
			has_jobs = true;
			if
			:: nclaims > 0 -> added = true
			:: else
			fi
		:: slot == NONE -> give_slot(q)
		:: else ->
			if
			:: nclaims == 0 ->
#ifndef EVICT_FORGETS
				unlisted = true;
#endif
				give_slot(q)
			:: if
				:: remember -> unlisted = true
				:: else
				fi
			fi
		fi
	}
}

proctype Enqueuer(byte q)
{
	free_jobs[q]++;				/* the commit is visible */
	add(q, true);				/* its callback */
	enqueued++
}

proctype Worker()
{
	byte q, got;

	do
	:: atomic { slot != NONE && has_jobs -> nclaims++; q = slot };
		added = false;			/* ready_queue_scan_begin() */
		got = free_jobs[q];		/* the scan */
		has_jobs = added;		/* ready_queue_scan_advance() */
		if
		:: atomic {
				failures < 1 -> failures++;
#ifndef ABORT_FORGETS
				has_jobs = true; added = true
#endif
			}
		:: atomic { free_jobs[q] = free_jobs[q] - got; claimed = claimed + got }
		fi;
		atomic {				/* ready_queue_scan_end() or _abort() */
			nclaims--;
			if
#ifndef FREE_WITHOUT_LOOK
			:: has_jobs
			:: else -> slot = NONE
#else
			:: slot = NONE
#endif
			fi;
			got = 0; q = 0
		}
	:: enqueued == JOBS && claimed == JOBS && nclaims == 0 -> break
	od
}

proctype Scheduler()
{
	byte q;
	bool seen;

	do
	:: unlisted ->
#ifndef CLEAR_AFTER_LOOK
		unlisted = false;		/* ready_role_search_begin(), before the snapshots */
#endif
		for (q : 0 .. QUEUES - 1) {
			seen = free_jobs[q] > 0;
			if
			:: seen ->
#ifdef SEARCH_FORGETS
				add(q, false)
#else
				add(q, true)
#endif
			:: else
			fi
		}
#ifdef CLEAR_AFTER_LOOK
		unlisted = false;
#endif
		atomic { q = 0; seen = false }
	:: enqueued == JOBS && claimed == JOBS -> break
	od
}

init
{
	atomic {
		run Enqueuer(0);
		run Enqueuer(1);
		run Enqueuer(0);
		run Worker();
		run Scheduler()
	}
	(_nr_pr == 1);				/* a job left behind: this is never reached */
	assert(free_jobs[0] == 0 && free_jobs[1] == 0)
}
