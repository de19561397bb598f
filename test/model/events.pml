/*
 * events.pml
 *		A step that waits for an event goes on when the event is committed, and is not
 *		timed out by a pass that comes later than that.
 *
 * See src/steps/event.c.  An emitter writes the event, closes the row of the waiting
 * step that it can see, unless that is locked, and makes the job ready if it waits.  A
 * pass of the job publishes that it looks, looks for the event, and registers the wait:
 * its row is open, and the job waits.  A job can be woken too early, or by its time-out:
 * then a pass runs while the row is open.  If its time is over it deletes the row before
 * it looks for the last time; a row that the emitter has locked makes it wait on.
 * After a commit is visible each side looks at what the other has left in shared memory.
 * The scheduler never locks the row of a job that runs: it looks again.
 *
 * Each mutant takes one precaution away, and must fail:
 * MUTANTS: LOOK_FIRST NO_ENDED_STAMP NO_PUBLISHED_STAMP CHECK_BEFORE_COMMIT NO_TELL_RUNNING
 * MUTANTS: LOOK_BEFORE_DELETE TIME_OUT_ON_BUSY
 */

/* The job's row */
#define RUNS		0			/* or is about to */
#define WAITS		1
#define DONE		2

#define NONE		0			/* the row of the step */
#define OPEN		1
#define CLOSED		2

/* as committed */
bool event = false;
byte job = RUNS;
byte row = NONE;

bool row_locked = false;		/* by the emitter */
bool job_locked = false;

/* shared memory */
byte clock = 1;
byte flight = 0;
byte ended_at = 0;
byte published_at = 0;

/* what the scheduler was told */
bool told = false;				/* of the event */
bool told_job = false;

bool timed_out = false;
bool emitted = false;			/* the emitter is through */
byte passes = 0;
byte early = 0;					/* times that it may be woken too early */

/* A row of the step is closed: make the job ready if it waits */
inline check_job()
{
	atomic {
		if
		:: job == WAITS && !job_locked && row == CLOSED -> job = RUNS
		:: job == WAITS && job_locked -> told_job = true
		:: job == RUNS ->
#ifndef NO_TELL_RUNNING
			told_job = true		/* it may be about to wait on */
#else
			skip
#endif
		:: else
		fi
	}
}

proctype Emitter()
{
	byte start;
	bool closes = false;
	bool wakes = false;
	bool tells_job = false;
	bool tells = false;

	start = clock;
	/* the event is written, and seen by nobody else */
	atomic {
		if
		:: row == OPEN && !job_locked -> row_locked = true; closes = true
		:: row == OPEN && job_locked -> tells = true	/* the pass is at the row */
		:: else
		fi
	};
	atomic {
		if
		:: closes && job == WAITS && !job_locked -> job_locked = true; wakes = true
		:: closes && job == WAITS && job_locked -> tells_job = true
		:: closes && job == RUNS ->
#ifndef NO_TELL_RUNNING
			tells_job = true
#else
			skip
#endif
		:: else
		fi
	};
	d_step {
		event = true;
		if
		:: closes -> row = CLOSED; row_locked = false
		:: else
		fi;
		if
		:: wakes -> job = RUNS; job_locked = false
		:: else
		fi
	};
	/* after the commit */
	atomic {
		if
		:: published_at > start -> told = true
		:: else
		fi;
#ifndef NO_ENDED_STAMP
		if
		:: flight > 0 -> clock++; ended_at = clock
		:: else
		fi;
#endif
		if
		:: tells -> told = true
		:: else
		fi;
		if
		:: tells_job -> told_job = true
		:: else
		fi;
		emitted = true
	}
}

/* Passes of the job, one after the other */
proctype Job()
{
	byte start;
	bool saw;
	bool late;
	bool there;
	bool busy;

	do
	:: job == DONE -> break
	:: job == RUNS && !job_locked ->
		saw = false; late = false; there = false; busy = false;
#ifdef LOOK_FIRST
		saw = event;
#endif
		d_step { start = clock; flight++ };
#ifndef LOOK_FIRST
		saw = event;
#endif
		if
		:: passes > 0 -> late = true	/* its time is over */
		:: true
		fi;
		if
		:: saw -> d_step { row = NONE; job = DONE; flight-- }; break
		:: else
		fi;
		if
		:: late ->
#ifdef LOOK_BEFORE_DELETE
			saw = event;
#endif
			/* the lock on the row is that of the job's row here: both end with the commit */
			atomic {
				if
				:: row_locked -> busy = true
				:: else -> job_locked = true; there = event
				fi
			};
#ifdef TIME_OUT_ON_BUSY
			busy = false;
#endif
			if
			:: !busy ->
#ifndef LOOK_BEFORE_DELETE
				saw = event;
#endif
				d_step {
					timed_out = !saw;
					assert(!(timed_out && there));	/* it was committed before */
					assert(!row_locked);	/* nor is it about to be */
					row = NONE; job = DONE; job_locked = false; flight--
				};
				break
			:: else
			fi
		:: else
		fi;
		/* register the wait */
		atomic { !job_locked -> job_locked = true };
#ifdef CHECK_BEFORE_COMMIT
		if :: ended_at > start -> told = true :: else fi;
#endif
		d_step {
			if
			:: row == NONE -> row = OPEN
			:: else
			fi;
			job = WAITS;
			job_locked = false;
			passes++
		};
		atomic {
#ifndef CHECK_BEFORE_COMMIT
			if :: ended_at > start -> told = true :: else fi;
#endif
#ifndef NO_PUBLISHED_STAMP
			clock++; published_at = clock;
#endif
			flight--
		}
	/* woken too early */
	:: atomic { job == WAITS && !job_locked && early > 0 -> early--; job = RUNS }
	od
}

proctype Scheduler()
{
	bool closed;

end:
	do
	:: atomic { told ->
		closed = false;
		if
		:: event && row == OPEN && !row_locked && !job_locked -> told = false; row = CLOSED; closed = true
		:: event && row == OPEN && (row_locked || job_locked) -> skip	/* later */
		:: else -> told = false
		fi };
		if
		:: closed -> check_job()
		:: else
		fi
	:: atomic { told_job && job != RUNS && !job_locked -> told_job = false };
		if
		:: row == CLOSED -> check_job()
		:: else
		fi
	od
}

init
{
	atomic {
		if :: early = 0 :: early = 1 :: early = 2 fi;
		run Emitter();
		run Job();
		run Scheduler()
	};
	timeout;
	assert(emitted);
	assert(job == DONE)
}
