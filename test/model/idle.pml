/*
 * idle.pml
 *		A ready job is never left with all processes asleep, also while another
 *		job runs for long.
 *
 * Backends that commit jobs wake an idle worker, or else the scheduler, which
 * starts workers.  A worker that finds nothing waits on its latch, and leaves
 * when it has waited for long.  Under workers_lock: a worker's state and "woken".
 *
 * A worker may be terminated at each step; its exit callback gives the slot back
 * and wakes the scheduler.  The model is checked for invalid end states: jobs are
 * left, and no process has a reason to look.
 *
 * Each mutant must fail:
 * MUTANTS: IDLE_UNSEEN WOKEN_FORGOTTEN STARTING_UNSEEN COUNT_IDLE EXIT_SILENTLY COUNT_WOKEN
 */
#define JOBS	2
#define WORKERS	2				/* slots */

mtype = { NOBODY, STARTING, IDLE, BUSY };

mtype state[WORKERS] = NOBODY;
bool woken[WORKERS];
bool latch[WORKERS];
byte ready = 0;					/* committed, and in the ready queue */
byte ended = 0;
bool long_runs = false;			/* the long job ends when all others have */
bool long_begun = false;
byte kills = 0;
byte leaves = 0;				/* bounded, so that leaving rescues no lost wake-up */
bool scheduler_latch = false;
bool scheduler_looks = false;

/*
 * The scheduler counts on these workers: both tell it if they begin to work and
 * leave jobs.  One that is idle and was not woken may have taken its job already.
 */
#ifndef COUNT_IDLE
#define SOON(i)	(state[i] == STARTING || (state[i] == IDLE && woken[i]))
#else
#define SOON(i)	(state[i] == STARTING || state[i] == IDLE)
#endif
#define NSOON	(SOON(0) + SOON(1))

proctype Enqueuer()
{
	bool found;

	ready++;					/* ready_queue_add(): seen by all from here on */
	atomic {
		/* workers_wake_idle(): a worker that was woken takes one job */
#ifndef COUNT_WOKEN
		if
		:: state[0] == IDLE && !woken[0] -> woken[0] = true; latch[0] = true; found = true
		:: state[1] == IDLE && !woken[1] -> woken[1] = true; latch[1] = true; found = true
		:: else -> found = false
		fi
#else
		if
		:: state[0] == IDLE -> woken[0] = true; latch[0] = true; found = true
		:: state[1] == IDLE -> woken[1] = true; latch[1] = true; found = true
		:: else -> found = false
		fi
#endif
	};
	if
	:: !found -> scheduler_latch = true
	:: else
	fi
}

proctype Worker(byte me)
{
	bool was_woken, took;
	bool idle;

end:
	atomic { state[me] == STARTING -> latch[me] = false; idle = false };
	do
	::
		latch[me] = false;
#ifndef IDLE_UNSEEN
		if
		:: idle ->
			atomic { state[me] = IDLE; woken[me] = false }
		:: else
		fi;
#endif
		took = false;
		if
		:: atomic { ready > 0 -> ready--; took = true }
		:: else
		fi;
		if
		:: took ->
			/* begin_work() */
			atomic {
#ifndef STARTING_UNSEEN
				was_woken = woken[me] || state[me] == STARTING;
#else
				was_woken = woken[me];
#endif
				state[me] = BUSY; woken[me] = false; idle = false
			};
#ifndef WOKEN_FORGOTTEN
			if
			:: was_woken && ready > 0 -> scheduler_latch = true
			:: else
			fi;
#endif
			was_woken = false;
			if
			:: ended++
			:: atomic { !long_begun -> long_begun = true; long_runs = true };
				(ended == JOBS - 1);
				atomic { long_runs = false; ended++ }
			:: atomic { kills < 1 -> kills++ };
				ready++;		/* recovery frees the job */
				goto exit
			fi
		:: !took && !idle -> idle = true
		:: !took && idle ->
#ifdef IDLE_UNSEEN
			atomic { state[me] = IDLE; woken[me] = false };
#endif
end_asleep:
			if
			:: woken[me]
			:: latch[me]
			:: atomic { leaves < 1 -> leaves++ };	/* waited for long: stop_idling() */
				if
				:: atomic { !woken[me] -> goto exit }
				:: else
				fi
			:: atomic { kills < 1 -> kills++ }; goto exit
			fi
		fi
	od;
exit:
	atomic { state[me] = NOBODY; woken[me] = false; latch[me] = false; idle = false; took = false };
#ifndef EXIT_SILENTLY
	scheduler_latch = true;
#endif
	goto end
}

/* It wakes idle workers, and starts more while more jobs are ready than workers are free */
proctype Scheduler()
{
end:
	do
	:: atomic { scheduler_latch -> scheduler_latch = false; scheduler_looks = true };
		atomic {
			if
			:: ready > 0 && state[0] == IDLE && !woken[0] -> woken[0] = true; latch[0] = true
			:: else
			fi;
			if
			:: ready > 1 && state[1] == IDLE && !woken[1] -> woken[1] = true; latch[1] = true
			:: ready == 1 && state[1] == IDLE && !woken[1] && state[0] != IDLE -> woken[1] = true; latch[1] = true
			:: else
			fi
		};
		do
		:: atomic { ready > NSOON && state[0] == NOBODY -> state[0] = STARTING; woken[0] = false }
		:: atomic { ready > NSOON && state[1] == NOBODY -> state[1] = STARTING; woken[1] = false }
		:: else -> break
		od;
		scheduler_looks = false
	od
}

init
{
	byte i;

	atomic {
		run Scheduler();
		for (i : 0 .. WORKERS - 1) { run Worker(i) }
		for (i : 1 .. JOBS) { run Enqueuer() }
		if
		:: state[0] = STARTING	/* there is a worker from before */
		:: skip
		fi
	}
	/* no enqueuer is left: sooner or later all jobs have ended */
	(_nr_pr == 2 + WORKERS && ended == JOBS)
}
