/*
 * behind.pml
 *		A job that was put behind a running one begins after that one's end, and
 *		always does.
 *
 * See src/job/behind.c.  A session locks the row of the running job R, sees that
 * R has not ended, and puts a new job N behind it: R's row names N.  A worker
 * ends R: well, without waiting for the row's lock, or badly, for which it waits.
 * If it has the row it reads the name of N and releases it in the same
 * transaction, unless N's row is locked.  Another session cancels N, and gives R
 * its key back.  Whoever could not see the other's writes has the scheduler look,
 * after its commit.  The server may crash once between a commit and that: then
 * the scheduler looks by itself at its start.
 *
 * What is written becomes visible in one step, with the commit, which also gives
 * up the locks.
 *
 * Each mutant takes one precaution away, and must fail:
 * MUTANTS: NO_LOOK_BY_SESSION NO_LOOK_BY_WORKER LOOK_BEFORE_COMMIT NO_LOOK_AT_START RELEASE_ANY KEEP_FOLLOWED
 */
#define SESSION		1
#define WORKER		2
#define CANCEL		3
#define SCHEDULER	4

/* as committed */
bool r_row = true;				/* the row of R is there */
bool r_ended = false;			/* R is in the history */
bool followed = false;			/* R's row names N */
bool n_row = false;
bool n_held = false;

byte r_lock = 0;				/* row locks */
byte n_lock = 0;

bool look = false;				/* the scheduler is asked to look */
bool crashed = false;
byte done = 0;					/* processes that have ended */

/* After a commit: ask for a look, or the server has crashed before that */
inline ask()
{
	if
	:: look = true
	:: atomic { !crashed -> crashed = true;
#ifndef NO_LOOK_AT_START
		look = true
#else
		skip
#endif
	}
	fi
}

/* defer.enqueue(on_key => 'replace') */
proctype Session()
{
	atomic { r_lock == 0 -> r_lock = SESSION };
	if
	:: r_row && !r_ended ->
#ifdef LOOK_BEFORE_COMMIT
		ask();
#endif
		if
		:: r_lock = 0			/* it rolls back */
		:: atomic { followed = true; n_row = true; n_held = true; r_lock = 0 };
#if !defined(NO_LOOK_BY_SESSION) && !defined(LOOK_BEFORE_COMMIT)
			ask()
#else
			skip
#endif
		fi
	:: else -> r_lock = 0		/* the key is free: not of interest here */
	fi;
	done++
}

proctype Worker()
{
	bool got, names, release;

	if
	:: atomic { r_lock == 0 -> r_lock = WORKER; got = true; names = followed }
	:: r_lock != 0 -> skip		/* R ended well: it goes on without the row */
	fi;
	if
	:: atomic { names && n_lock == 0 -> n_lock = WORKER; release = true }
	:: names && n_lock != 0 -> skip
	:: !names -> skip
	fi;
	atomic {
		r_ended = true;
		if
		:: got -> r_row = false; r_lock = 0
		:: else
		fi;
		if
		:: release -> n_lock = 0; n_held = false
		:: else
		fi
	};
	if
	:: !got || (names && !release) ->
#ifndef NO_LOOK_BY_WORKER
		ask()
#else
		skip
#endif
	:: else
	fi;
	done++
}

/* defer.cancel(N) */
proctype Cancel()
{
	if
	:: atomic { n_row && n_lock == 0 -> n_lock = CANCEL };
		atomic { r_lock == 0 -> r_lock = CANCEL };
		atomic {
			n_row = false;
#ifndef KEEP_FOLLOWED
			if
			:: n_held && r_row -> followed = false
			:: else
			fi;
#endif
			assert(r_ended || !followed);	/* R has its key, or another would run beside it */
			n_lock = 0;
			r_lock = 0
		}
	:: skip						/* nobody cancels it */
	fi;
	done++
}

proctype Scheduler()
{
	bool found, ended;

	do
	:: atomic { look -> look = false };
		found = n_row && n_held;
		ended = r_ended;
#ifdef RELEASE_ANY
		ended = true;
#endif
		if
		:: found && ended ->
			if
			:: atomic { n_lock == 0 -> n_lock = SCHEDULER };
				atomic {
					if
					:: n_row && n_held -> assert(r_ended); n_held = false
					:: else
					fi;
					n_lock = 0
				}
			:: n_lock != 0 -> look = true	/* later */
			fi
		:: else
		fi
	:: atomic { done == 3 && !look -> break }
	od;
	assert(!(r_ended && n_row && n_held))
}

init {
	atomic {
		run Session();
		run Worker();
		run Cancel();
		run Scheduler()
	}
}
