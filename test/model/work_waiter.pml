/*
 * work_waiter.pml
 *		No job of a task lies there while a session waits for it, though of several
 *		sessions only one is woken for a job.
 *
 * See src/shmem/work_waiters.c.  A session enters the lists, looks at the ready queue,
 * and sleeps.  A commit adds a job to the queue, and takes one session out of the lists,
 * which is expected to take a job then.  It returns to its client if it finds a job, and
 * takes it in a later call; or it, or its client, hangs, or ends, at each step.  Jobs
 * also become free without a commit, as time passes: then the scheduler wakes a session
 * for each job for which none is expected.  It does so as well when a session ends that
 * was expected, and a second after one was woken.
 *
 * One session may hang or end at each step; the other one is well.  The model is checked for
 * invalid end states: a job lies there, and the session waits.
 *
 * Each mutant takes one precaution away, and must fail:
 * MUTANTS: LOOK_FIRST NO_LISTS_AGAIN NO_CHECK_LATER EXPECTED_FOR_EVER NO_SCHEDULER
 */
#define SESSIONS	2
#define JOBS		2

byte ready = 0;					/* in the ready queue */
byte later = 0;					/* free in a while, without a commit */
byte taken = 0;
bool waits[SESSIONS];			/* in the lists */
bool expected[SESSIONS];
bool over[SESSIONS];			/* expected for more than a second */
bool latch[SESSIONS];
bool check_later = false;		/* the scheduler looks in a second */
bool scheduler = false;			/* its latch */

#define NEXPECTED	(expected[0] + expected[1])

/* Wake a session that waits, if there is one; under work_waiters_lock */
inline wake_one()
{
	if
	:: waits[0] -> expected[0] = true; over[0] = false; waits[0] = false; latch[0] = true
	:: waits[1] -> expected[1] = true; over[1] = false; waits[1] = false; latch[1] = true
	:: else
	fi
}

proctype Enqueuer(bool delayed)
{
	bool woken;

	atomic {
		if
		:: ready++
		:: delayed -> later++; goto done	/* or over a limit */
		fi
	};
	atomic {
		woken = waits[0] || waits[1];
		wake_one()
	};
#ifndef NO_CHECK_LATER
	if
	:: woken -> check_later = true
	:: else
	fi;
#endif
done:
	skip
}

/* Time, or a place that is given back: it wakes the scheduler */
proctype Time()
{
end:
	do
	:: atomic { later > 0 -> later--; ready++ };
#ifndef NO_SCHEDULER
		scheduler = true
#endif
	:: atomic { check_later -> check_later = false; scheduler = true;
			over[0] = expected[0]; over[1] = expected[1] }
	od
}

proctype Scheduler()
{
	byte n;

end:
	do
	:: atomic { scheduler -> scheduler = false };
		n = ready;				/* ready_summaries() */
		atomic {
#ifndef EXPECTED_FOR_EVER
			expected[0] = expected[0] && !over[0];
			expected[1] = expected[1] && !over[1];
#endif
			n = (n > NEXPECTED -> n - NEXPECTED : 0);
			do
			:: n > 0 && (waits[0] || waits[1]) -> wake_one(); n--
			:: else -> break
			od;
			n = 0;
#ifndef EXPECTED_FOR_EVER
			if
			:: NEXPECTED > 0 && (waits[0] || waits[1]) -> check_later = true
			:: else
			fi
#else
			skip
#endif
		}
	od
}

/* The session ends: others are woken instead */
inline abandon(me)
{
	atomic {
		if
		:: expected[me] -> scheduler = true
		:: else
		fi;
		waits[me] = false; expected[me] = false
	}
}

/* A job was taken: its own promise, or that of one that will find nothing or another */
inline forget(me)
{
	atomic {
		if
		:: expected[me] -> expected[me] = false
		:: !expected[me] && expected[0] -> expected[0] = false
		:: !expected[me] && !expected[0] -> expected[1] = false
		fi
	}
}

proctype Session(byte me)
{
	do
	::
#ifdef LOOK_FIRST
		if
		:: ready > 0 -> goto take
		:: else
		fi;
#endif
		atomic { waits[me] = true; expected[me] = false };
#ifndef LOOK_FIRST
		if
		:: ready > 0 -> goto leave
		:: else
		fi;
#endif
end_asleep:
		if
		:: latch[me] -> latch[me] = false
		:: me == 0 -> abandon(me); goto gone
		fi;
		if
		:: waits[me] -> goto end_asleep
		:: else
		fi;
		if
#ifndef NO_LISTS_AGAIN
		:: ready == 0 -> goto again
#else
		:: ready == 0 -> goto end_asleep
#endif
		:: ready > 0
		fi;
leave:
		waits[me] = false;
take:
		if
		:: me == 0 ->
			if
			:: abandon(me); goto gone
			:: goto gone		/* hangs: expected until a second is over */
			fi
		:: skip
		fi;
		if
		:: atomic { ready > 0 -> ready--; taken++ };
			forget(me)
		:: ready == 0 -> skip
		fi;
		if
		:: me == 0 -> goto gone	/* it takes for long */
		:: else
		fi;
again:
		skip
	od;
gone:
	skip
}

init
{
	byte i;

	atomic {
		run Scheduler();
		run Time();
		for (i : 0 .. SESSIONS - 1) { run Session(i) }
		for (i : 1 .. JOBS) { run Enqueuer(i == 1) }
	}
	/* sooner or later all have been taken */
	(taken == JOBS)
}
