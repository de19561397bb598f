/*
 * lease.pml
 *		The jobs of tasks that workers outside of the server have taken: each effect
 *		is committed with the one end of its job, and a place is held as long as
 *		there is a lease.
 *
 * See src/job/lease_end.c and src/shmem/leases.c.  A worker takes the job: its claim
 * is in the row, and a lease of that claim is in shared memory.  It writes something
 * and calls complete() or fail(), which look at the claim.  COMMIT locks the row,
 * looks again and writes the end; after that the lease is removed.  The scheduler
 * takes the claim out of the row when a lease is over, unless the row is locked.
 * Then another worker can take the job, before the lease is removed.  Each takes once,
 * as each taking has a claim of its own.
 *
 * Each mutant takes one precaution away, and must fail:
 * MUTANTS: NO_CHECK_AT_COMMIT NO_LOCK_AT_COMMIT COMMIT_AFTER_REFUSAL END_ANY REMOVE_ANY NO_REPLACE
 */
#define WORKERS		3
#define SCHEDULER	4

/* as committed */
byte claim = 0;					/* in the row: the worker that has the job; 0: free */
bool ended = false;				/* the row is gone */
byte effects = 0;

byte lock = 0;					/* of the row */

/* shared memory */
byte lease = 0;					/* the claim that it is of */
byte places = 0;
byte over = 0;					/* a lease whose time is over */
byte done = 0;					/* workers that have ended */

inline add_lease(me)
{
	if
	:: lease != 0 ->
#ifndef NO_REPLACE
		places--
#else
		skip
#endif
	:: else
	fi;
	lease = me;
	places++
}

inline remove_lease(which)
{
	atomic {
		if
#ifdef REMOVE_ANY
		:: lease != 0 -> lease = 0; places--
#else
		:: lease == which -> lease = 0; places--
#endif
		:: else
		fi
	}
}

proctype Worker(byte me)
{
	bool held, fails;

	if
	:: ended || done == WORKERS - 1 -> skip	/* there is nothing for it */
	:: atomic { claim == 0 && !ended && lock == 0 -> add_lease(me); claim = me };
		assert(lease == me);
		atomic { fails = false; if :: fails = true :: skip fi };

		/* its time may be over at any moment from now on */
		if
		:: over = me
		:: skip
		fi;
		held = (claim == me);	/* complete(), fail() */
		if
		:: !held ->
#ifdef COMMIT_AFTER_REFUSAL
			effects++			/* something has caught the error */
#else
			skip
#endif
		:: held ->
#ifndef NO_LOCK_AT_COMMIT
			atomic { lock == 0 -> lock = me };
#endif
#ifndef NO_CHECK_AT_COMMIT
			held = (claim == me && !ended);
#endif
			if
			:: !held -> skip	/* COMMIT raises the error */
			:: held && fails -> claim = 0
			:: held && !fails -> atomic { effects++; ended = true }
			fi;
#ifndef NO_LOCK_AT_COMMIT
			lock = 0;
#endif
			if
			:: held -> remove_lease(me)
			:: else
			fi
		fi
	fi;
	done++
}

proctype Scheduler()
{
	byte found;

	do
	:: atomic { over != 0 && lease == over -> found = over; over = 0 };
		if
		:: atomic { lock == 0 -> lock = SCHEDULER };
			if
#ifdef END_ANY
			:: claim != 0 && !ended ->
#else
			:: claim == found && !ended ->
#endif
				assert(claim == found);
				atomic { claim = 0; lock = 0 }
			:: else -> lock = 0
			fi;
			remove_lease(found)
		:: lock != 0 -> over = found	/* later */
		fi
	:: atomic { over != 0 && lease != over -> over = 0 }
	:: atomic { done == WORKERS && over == 0 -> break }
	od;
	assert(effects == ended);
	assert(places == (lease != 0))
}

init {
	atomic {
		run Worker(1);
		run Worker(2);
		run Worker(3);
		run Scheduler()
	}
}
