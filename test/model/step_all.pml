/*
 * step_all.pml
 *		A step that waits for jobs of its own goes on when all of them have ended, and
 *		they do not outlive a procedure that is cancelled.
 *
 * See src/steps/all.c.  The first pass enqueues two jobs, writes an open row for each, and
 * registers the wait, in one commit.  Each job that ends closes its row, looks whether the
 * other one is open, and makes the procedure ready if it is not, and if the procedure
 * waits.  A procedure that is woken too early runs a pass that finds an open row, and waits
 * on.  Two ends beside each other find each other's row open: each leaves a stamp after its
 * commit.  The procedure may be cancelled: a pass that runs is told by its slot, which it
 * leaves before it commits the wait; of one that waits the row is ended, and the scheduler
 * cancels the jobs, and comes back to those that run: what their processes are told is lost
 * if their attempt fails.  The server may crash: then what was told and stamped is lost,
 * jobs that ran are free again, and the scheduler looks at all.
 *
 * Each mutant takes one precaution away, and must fail:
 * MUTANTS: NO_CLOSED_STAMP CLOSED_BEFORE_COMMIT NO_TELL_RUNNING SEPARATE_COMMIT
 * MUTANTS: LEAVE_AFTER_COMMIT NO_START_LOOK NO_COME_BACK GO_ON_OPEN
 */

/* The procedure, and each of its jobs */
#define NONE		0			/* not enqueued yet */
#define READY		1			/* no process has it */
#define RUNS		2
#define WAITS		3
#define DONE		4
#define CANCELLED	5

/* as committed */
byte procedure = READY;
bool waited = false;			/* its step is registered: the next pass is not the first */
byte job[2];
bool open[2];
byte enqueued = 0;				/* times that the jobs were */

bool locked = false;			/* the row of the procedure */

/* shared memory */
bool in_slot = false;			/* a pass has not left its slot */
bool stop = false;				/* it shall be cancelled */
byte clock = 1;
byte closed_at = 0;

/* what the scheduler was told */
bool told_waiting = false;		/* rows of the procedure were closed */
bool told_stop = false;			/* it has ended with rows open */

byte boot = 0;					/* processes of before a crash are gone */
byte early = 0;					/* times that it may be woken too early */
bool starting = false;			/* the scheduler has not looked yet */
bool taken = false;				/* a cancel was: it must not get lost */

/* of the second job */
bool goes_on = false;			/* it ends only if it is cancelled */
byte fails = 0;					/* attempts that fail first */
bool told_job[2];				/* its process: it is cancelled */

#define ENDED(s)	(s == DONE || s == CANCELLED)
#define ALIVE		(boot == mine)

/* All rows are closed: make the procedure ready, if it waits */
inline release()
{
	if
	:: procedure == WAITS && !locked && !open[0] && !open[1] -> procedure = READY
	:: procedure == WAITS && locked -> told_waiting = true
#ifndef NO_TELL_RUNNING
	:: procedure == RUNS -> told_waiting = true		/* it may be about to wait on */
#endif
	:: else
	fi
}

/* The procedure ends as cancelled: the scheduler cancels what it waits for */
inline end_cancelled()
{
	procedure = CANCELLED;
	if :: open[0] || open[1] -> told_stop = true :: else fi
}

/* After the commit: has the other row been closed meanwhile? */
inline look_at_closed()
{
	atomic {
		if :: closed_at > start -> told_waiting = true :: else fi;
#ifndef NO_CLOSED_STAMP
		clock++; closed_at = clock
#endif
	}
}

/* A job of a procedure that has ended: cancel it, or, while it runs, tell its process and look again */
inline stop_own(i)
{
	if
	:: open[i] && job[i] == READY -> job[i] = CANCELLED; open[i] = false
#ifndef NO_COME_BACK
	:: open[i] && job[i] == RUNS -> told_job[i] = true; told_stop = true
#else
	:: open[i] && job[i] == RUNS -> told_job[i] = true
#endif
	:: else
	fi
}

/* One pass after the other */
proctype Procedure()
{
	byte mine;
	bool all_closed;

	do
	:: atomic { procedure == READY && !locked ->
			mine = boot; procedure = RUNS; in_slot = true; stop = false };
		all_closed = waited && !open[0] && !open[1];
#ifdef GO_ON_OPEN
		all_closed = waited;
#endif
		if
		:: all_closed ->
			/* the end of the procedure; a cancel comes before it or too late */
			atomic {
				if
				:: ALIVE && stop -> end_cancelled(); in_slot = false
				:: ALIVE && !stop ->
					assert(ENDED(job[0]) && ENDED(job[1]));
					procedure = DONE; in_slot = false
				:: !ALIVE
				fi
			}
		:: else ->
#ifdef SEPARATE_COMMIT
			/* the jobs are committed before the wait */
			atomic {
				if
				:: ALIVE && !waited && !stop -> job[0] = READY; job[1] = READY; enqueued++
				:: else
				fi
			};
#endif
#ifndef LEAVE_AFTER_COMMIT
			/* leave the slot: from here on a cancel finds the row.  An error registers nothing */
			atomic {
				if
				:: ALIVE && stop -> end_cancelled(); in_slot = false
				:: ALIVE && !stop -> in_slot = false; locked = true
				:: !ALIVE
				fi
			};
#else
			atomic { if :: ALIVE -> locked = true :: else fi };
#endif
			atomic {
				if
				:: ALIVE && procedure == RUNS ->
					if
					:: !waited ->
						waited = true; open[0] = true; open[1] = true;
#ifndef SEPARATE_COMMIT
						job[0] = READY; job[1] = READY; enqueued++
#endif
					:: else
					fi;
					procedure = WAITS; locked = false
				:: else
				fi
			};
#ifdef LEAVE_AFTER_COMMIT
			atomic { if :: ALIVE -> in_slot = false :: else fi }
#endif
		fi
	:: atomic { procedure == WAITS && !locked && early > 0 -> early--; procedure = READY }
	:: ENDED(procedure) -> break
	od
}

/* Runs job i */
proctype Worker(byte i)
{
	byte mine;
	byte start;
	bool sees;
	bool other;

	do
	:: atomic { job[i] == READY -> mine = boot; job[i] = RUNS; start = clock;
			sees = open[i]; other = sees && open[1 - i] };
#ifdef CLOSED_BEFORE_COMMIT
		if :: ALIVE && other -> look_at_closed() :: else fi;
#endif
		atomic {
			if
			:: ALIVE && (told_job[i] || i == 0 || !goes_on) ->
				if :: told_job[i] -> job[i] = CANCELLED :: else -> job[i] = DONE fi;
				open[i] = false;
				if :: sees && !other -> release() :: else fi
			:: ALIVE && i == 1 && fails > 0 ->
				fails--; told_job[i] = false; job[i] = READY; other = false
			:: !ALIVE -> other = false
			fi
		};
#ifndef CLOSED_BEFORE_COMMIT
		if :: ALIVE && other -> look_at_closed() :: else fi;
#endif
		d_step { start = 0; sees = false; other = false }
	:: ENDED(job[i]) -> break
	:: ENDED(procedure) && job[i] == NONE -> break
	od
}

/* Of a job that runs the process is told; of another one the row is ended */
proctype Canceller()
{
	atomic {
		if
		:: in_slot -> stop = true; taken = true
		:: !in_slot && !locked && (procedure == READY || procedure == WAITS) -> end_cancelled()
		:: ENDED(procedure)
		fi
	}
}

proctype Scheduler()
{
end:
	do
	:: atomic { told_waiting && !locked && procedure != RUNS -> told_waiting = false; release() }
	:: atomic { told_stop -> told_stop = false; stop_own(0); stop_own(1) }
	:: atomic { starting -> starting = false;
#ifndef NO_START_LOOK
			if
			:: procedure == WAITS -> told_waiting = true
			:: ENDED(procedure) && (open[0] || open[1]) -> told_stop = true
			:: else
			fi
#endif
		}
	od
}

/* Transactions that are not committed, and shared memory, are gone */
proctype Crash()
{
	atomic {
		boot++;
		if :: taken && !ENDED(procedure) -> run Canceller() :: else fi;	/* it is asked for again */
		locked = false; in_slot = false; stop = false;
		closed_at = 0; told_waiting = false; told_stop = false; taken = false;
		told_job[0] = false; told_job[1] = false;
		if :: procedure == RUNS -> procedure = READY :: else fi;
		if :: job[0] == RUNS -> job[0] = READY :: else fi;
		if :: job[1] == RUNS -> job[1] = READY :: else fi;
		starting = true
	}
}

init
{
	atomic {
		if :: early = 0 :: early = 1 fi;
		if :: run Canceller(); goes_on = true :: run Canceller() :: true fi;
		if :: fails = 1 :: true fi;
		if :: run Crash() :: true fi;
		run Procedure();
		run Worker(0);
		run Worker(1);
		run Scheduler()
	};
	timeout;
	assert(ENDED(procedure));
	assert(!taken || procedure == CANCELLED);
	assert(enqueued <= 1);
	assert(job[0] == NONE || ENDED(job[0]));
	assert(job[1] == NONE || ENDED(job[1]));
	assert(!open[0] && !open[1])
}
