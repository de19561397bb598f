/*
 * dependents.pml
 *		A job that comes after two others begins once both have ended, whatever the
 *		order of the commits.
 *
 * The enqueuer publishes both jobs, looks whether they have ended, writes a dependency
 * for each, and commits.  Each of two workers ends one of the jobs: it looks for
 * dependencies, closes what it sees, looks whether the other one is open, and commits.
 * None of them waits for another.  After its commit is visible each looks at what the
 * others have left in shared memory, and tells the scheduler of a job that they may
 * have missed.  The clock grows with each stamp.
 *
 * Each mutant must fail:
 * MUTANTS: LOOK_FIRST NO_ENDED_STAMP NO_PUBLISHED_STAMP ENDS_BEFORE_COMMIT
 * MUTANTS: CHECK_BEFORE_COMMIT CLOSED_BEFORE_COMMIT NO_CLOSED_STAMP START_LATE
 * MUTANTS: FLIGHT_BEFORE_STAMP COUNT_LATE
 */

/* Tables: what is committed */
bool ended[2];
bool enqueued = false;			/* the later job, and its dependencies */
bool open[2];
byte ready = 0;					/* times that the later job was made ready */

/* Shared memory */
byte clock = 1;
byte counter[2];				/* open dependencies */
byte flight[2];
byte ended_at[2];				/* stamps */
byte published_at[2];
byte closed_at = 0;

bool locked = false;			/* dependents_lock */

/* What the scheduler was told */
bool told[2];
bool told_waiting = false;

#define FLIGHT			(flight[0] + flight[1])
#define LAST_PUBLISHED	(published_at[0] > published_at[1] -> published_at[0] : published_at[1])

/* The row of the later job is locked, so it is made ready once */
inline release()
{
	if
	:: ready == 0 -> ready++
	:: else
	fi
}

inline check_ended_stamps()
{
	d_step {
		if
		:: ended_at[0] > start -> told[0] = true
		:: else
		fi;
		if
		:: ended_at[1] > start -> told[1] = true
		:: else
		fi
	}
}

inline stamp_published()
{
#ifndef NO_PUBLISHED_STAMP
	d_step {
		clock++; published_at[0] = clock;
		clock++; published_at[1] = clock
	}
#else
	skip
#endif
}

proctype Enqueuer()
{
	byte start;
	bool saw[2];

#ifdef LOOK_FIRST
	saw[0] = ended[0];
	saw[1] = ended[1];
#endif
	d_step { start = clock; flight[0]++ };
	flight[1]++;
#ifndef LOOK_FIRST
	saw[0] = ended[0];
	saw[1] = ended[1];
#endif
#ifndef COUNT_LATE
	d_step {
		if :: !saw[0] -> counter[0]++ :: else fi;
		if :: !saw[1] -> counter[1]++ :: else fi
	}
#endif
#ifdef CHECK_BEFORE_COMMIT
	check_ended_stamps();
#endif
	d_step {
		enqueued = true;
		open[0] = !saw[0];
		open[1] = !saw[1];
		if
		:: saw[0] && saw[1] -> release()
		:: else
		fi
	};
	/* workers read the sum of flight without the lock, and then the last stamp */
	atomic { !locked -> locked = true };
#ifdef FLIGHT_BEFORE_STAMP
	d_step { flight[0]--; flight[1]-- };
#endif
#ifndef CHECK_BEFORE_COMMIT
	check_ended_stamps();
#endif
	stamp_published();
#ifndef FLIGHT_BEFORE_STAMP
	d_step { flight[0]--; flight[1]-- };
#endif
	locked = false;
#ifdef COUNT_LATE
	d_step {
		if :: !saw[0] -> counter[0]++ :: else fi;
		if :: !saw[1] -> counter[1]++ :: else fi
	}
#endif
	skip
}

/* After the commit: who has published the job? */
inline look_at_publications(i)
{
	sum = FLIGHT;
	if
	:: sum == 0 && LAST_PUBLISHED <= start
	:: else ->
		atomic {
			!locked;
			if :: published_at[i] > start -> told[i] = true :: else fi;
#ifndef NO_ENDED_STAMP
			if :: flight[i] > 0 -> clock++; ended_at[i] = clock :: else fi
#endif
		}
	fi
}

/* After the commit: has another dependency of the same job been closed meanwhile? */
inline look_at_closed()
{
	atomic {
		!locked;
		if :: closed_at > start -> told_waiting = true :: else fi;
#ifndef NO_CLOSED_STAMP
		clock++; closed_at = clock
#endif
	}
}

/* Ends job i, or does what the one that has ended it has missed */
inline settle(i, ends)
{
	sees = false;
	other_open = false;
#ifndef START_LATE
	start = clock;
#endif
	if
	:: counter[i] > 0 || !ends ->
		sees = enqueued && open[i];
		if
		:: sees -> other_open = open[1 - i]
		:: else
		fi
	:: else
	fi;
#ifdef START_LATE
	start = clock;
#endif
#ifdef ENDS_BEFORE_COMMIT
	if :: ends -> look_at_publications(i) :: else fi;
#endif
#ifdef CLOSED_BEFORE_COMMIT
	if :: sees && other_open -> look_at_closed() :: else fi;
#endif
	d_step {
		if :: ends -> ended[i] = true :: else fi;
		if :: sees -> open[i] = false :: else fi;
		if :: sees && !other_open -> release() :: else fi
	};
	if :: sees -> counter[i]-- :: else fi;
#ifndef CLOSED_BEFORE_COMMIT
	if :: sees && other_open -> look_at_closed() :: else fi;
#endif
#ifndef ENDS_BEFORE_COMMIT
	if :: ends -> look_at_publications(i) :: else fi
#else
	skip
#endif
}

proctype Worker(byte i)
{
	byte start;
	byte sum;
	bool sees;
	bool other_open;

	settle(i, true)
}

proctype Scheduler()
{
	byte start;
	byte sum;
	bool sees;
	bool other_open;

end:
	do
	:: atomic { told[0] -> told[0] = false };
		if :: ended[0] -> settle(0, false) :: else fi
	:: atomic { told[1] -> told[1] = false };
		if :: ended[1] -> settle(1, false) :: else fi
	:: atomic { told_waiting -> told_waiting = false };
		atomic {
			if
			:: enqueued && !open[0] && !open[1] -> release()
			:: else
			fi
		}
	od
}

init
{
	atomic {
		run Enqueuer();
		run Worker(0);
		run Worker(1);
		run Scheduler()
	};
	timeout;
	assert(ready == 1)
}
