/*
 * waiter.pml
 *		A session in defer.await() does not miss the end of its job.
 *
 * The session registers, looks, and sleeps on its latch.  The worker commits the
 * end, then reads the number of waiters without a lock, and wakes those of the
 * job under workers_lock.  The session may be terminated at each step.
 *
 * Each mutant must fail:
 * MUTANTS: LOOK_FIRST WAKE_BEFORE_COMMIT RESET_LATCH_LATE
 */
bool ended = false;
byte nwaiters = 0;
bool registered = false;
bool slot_done = false;
bool latch = false;

proctype Worker()
{
#ifdef WAKE_BEFORE_COMMIT
	if
	:: nwaiters > 0 ->
		atomic { if :: registered -> slot_done = true; latch = true :: else fi }
	:: else
	fi;
	ended = true
#else
	ended = true;
	if
	:: nwaiters > 0 ->
		atomic { if :: registered -> slot_done = true; latch = true :: else fi }
	:: else
	fi
#endif
}

proctype Session()
{
	bool look = true;

#ifdef LOOK_FIRST
	if
	:: ended -> goto done
	:: else
	fi;
	look = false;
#endif
	atomic { registered = true; slot_done = false; nwaiters++ };
	do
	:: goto leave				/* terminated, or time over */
	::
		if
		:: (look || slot_done) ->
			if
			:: ended -> goto leave
			:: else
			fi
		:: else
		fi;
		look = false;
#ifdef RESET_LATCH_LATE
		latch;
		if
		:: slot_done && ended -> goto leave
		:: else
		fi;
		slot_done = false;
		latch = false
#else
sleeping:
		if
		:: latch -> latch = false
		:: goto leave
		fi
#endif
	od;
leave:
	atomic { registered = false; nwaiters-- };
done:
	skip
}

/*
 * The same without a way out: it ends only if it is woken.  The model is checked
 * for invalid end states, which are those in which it sleeps for ever.
 */
proctype Patient()
{
	bool look = true;

#ifdef LOOK_FIRST
	if
	:: ended -> goto done
	:: else
	fi;
	look = false;
#endif
	atomic { registered = true; slot_done = false; nwaiters++ };
	do
	:: (look || slot_done) && ended -> break
	:: else ->
		look = false;
#ifdef RESET_LATCH_LATE
		if
		:: slot_done && ended -> break
		:: else
		fi;
		latch = false;
		latch
#else
		latch;
		latch = false
#endif
	od;
	atomic { registered = false; nwaiters-- };
done:
	skip
}

init
{
	atomic {
		run Worker();
		if
		:: run Patient()
		:: run Session()
		fi
	}
	(_nr_pr == 1);
	assert(nwaiters == 0 && !registered)
}
