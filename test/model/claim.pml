/*
 * claim.pml
 *		Each job's work is committed once, whichever worker ends in the middle.
 *
 * A claim is one transaction: it writes its number into the rows of the jobs and
 * into a row of defer.claim.  Before it commits the worker shows the batch in its
 * slot.  Then the jobs run, each in a transaction of its own that also writes the
 * history.  Settling the batch deletes the rows of jobs that have ended, frees the
 * others that still carry the claim, and deletes the row of defer.claim.
 *
 * Here worker 0 claims jobs 0 and 1.  While it runs job 0, worker 1 steals job 1:
 * it marks the entry in the slot of worker 0, then writes its own claim into the
 * row.  A canceller takes job 1 out in the same way, and ends it.  Worker 2 stands
 * for all others: it claims what is free.  Recovery reads the rows of defer.claim,
 * then looks which of them no live worker shows, and settles those.
 *
 * Workers 0 and 1 may be killed at each step, and their transactions may fail.
 *
 * Each mutant must fail:
 * MUTANTS: PUBLISH_LATE STEAL_UNMARKED TAKE_OVER_UNCHECKED FORGET_STOLEN RECOVERY_LOOKS_FIRST
 * MUTANTS: LOCK_IS_ENOUGH LOCK_ANY_CLAIM LEAVE_STOLEN
 * MUTANTS: START_WITHOUT_LOOK SETTLE_WITHOUT_LOOK KEEP_CLAIM
 */
#define JOBS	2
#define WORKERS	3
#ifndef TROUBLES
#define TROUBLES 1				/* kills and failures; 2 takes some minutes */
#endif
#define CLAIMS	12				/* numbers from 1 on; more than are needed */

mtype = { GONE, WAITING, STARTED, STOLEN, WITHDRAWN };

/* Tables: what is committed, and the rows that an open transaction has locked */
byte claim_of[JOBS];			/* defer.job.claim; 0: free */
bool present[JOBS] = true;		/* the row of defer.job */
bool locked[JOBS];
byte effects[JOBS];				/* commits of the job's work, with its history */
bool cancelled;					/* job 1, in the history */
bool claim_row[CLAIMS];
bool lists[24];					/* claim * 2 + job: the jobs of a row of defer.claim */

/* Shared memory: what workers show */
bool alive[WORKERS];
byte shown[WORKERS];
mtype entry0[WORKERS] = GONE;	/* of job 0 */
mtype entry1[WORKERS] = GONE;

byte next_claim = 1;
byte troubles = 0;				/* kills and failures so far */
bool orphans = false;			/* a worker has told the scheduler of its end */

#define TROUBLE		(troubles < TROUBLES)
#define ENDED(j)	(effects[j] > 0 || (j == 1 && cancelled))
#define LIVE(c)		((alive[0] && shown[0] == c) || (alive[1] && shown[1] == c) || (alive[2] && shown[2] == c))
#ifndef TAKE_OVER_UNCHECKED
#define STILL_THEIRS	(claim_of[1] == victim_claim)
#else
#define STILL_THEIRS	true
#endif
#ifndef LOCK_ANY_CLAIM
#define SAME_CLAIM		(claim_of[1] == c)
#else
#define SAME_CLAIM		true
#endif
#ifndef START_WITHOUT_LOOK
#define MAY_START		(entry1[me] == WAITING)
#else
#define MAY_START		true
#endif
#ifndef SETTLE_WITHOUT_LOOK
#define STILL_MINE(j)	(claim_of[j] == c)
#else
#define STILL_MINE(j)	true
#endif
#ifndef KEEP_CLAIM
#define SET_FREE(j)		claim_of[j] = 0
#else
#define SET_FREE(j)		skip
#endif
#define ALL_OVER	(!present[0] && !present[1])

/* Settle one row of a batch, if it can be locked; in one step: its own transaction */
inline settle_row(j, c)
{
	d_step {
		if
		:: present[j] && ENDED(j) && claim_of[j] == c -> present[j] = false
		:: present[j] && !ENDED(j) && STILL_MINE(j) -> claim_of[j] = 0
		:: else
		fi
	}
}

proctype Owner()
{
	byte me = 0;
	byte c;
	bool stopped = false;

	/* the claim; init() has locked its rows */
	c = 1;
#ifndef PUBLISH_LATE
	atomic { shown[me] = c; entry0[me] = WAITING; entry1[me] = WAITING };
#endif
	if
	:: atomic { TROUBLE -> troubles++ };
		/* fails: the slot shows nothing, the rows are free again */
		atomic { locked[0] = false; locked[1] = false };
		goto dead
	:: d_step {
			claim_of[0] = c; claim_of[1] = c; locked[0] = false; locked[1] = false;
			claim_row[c] = true; lists[c * 2] = true; lists[c * 2 + 1] = true
		}
	fi;
#ifdef PUBLISH_LATE
	atomic { shown[me] = c; entry0[me] = WAITING; entry1[me] = WAITING };
#endif

	/* job 0 */
	entry0[me] = STARTED;
	if
	:: atomic { TROUBLE -> troubles++ }; goto dead
	:: effects[0]++
	fi;

	/* job 1, if it still waits */
	if
	:: atomic { TROUBLE -> troubles++ }; goto dead
	:: atomic {
			if
			:: MAY_START -> entry1[me] = STARTED
			:: else -> stopped = true
			fi
		}
	fi;
	if
	:: stopped
	:: !stopped && TROUBLE -> troubles++; goto dead
	:: !stopped -> effects[1]++
	fi;

	/* settle; a row that another session holds is left over, and tried again */
	if
	:: atomic { TROUBLE -> troubles++ }; goto dead
	:: skip
	fi;
	(!locked[0] && !locked[1]);
	atomic {
		settle_row(0, c);
#ifndef FORGET_STOLEN
		settle_row(1, c);
#else
		if
		:: !stopped -> settle_row(1, c)
		:: else
		fi;
#endif
		claim_row[c] = false; lists[c * 2] = false; lists[c * 2 + 1] = false
	};
dead:
	atomic { alive[me] = false; shown[me] = 0; entry0[me] = GONE; entry1[me] = GONE; orphans = true }
}

proctype Thief()
{
	byte me = 1;
	byte c, victim_claim;
	bool marked = false;
	bool took = false;

	atomic { alive[me] = true };
	if
	:: atomic { entry0[0] == STARTED && entry1[0] == WAITING ->
			victim_claim = shown[0];
			marked = true;
#ifndef STEAL_UNMARKED
			entry1[0] = STOLEN
#endif
		}
	:: (!alive[0] && shown[0] == 0 && orphans) -> goto dead	/* there is nothing to steal */
	:: cancelled -> goto dead
	:: ALL_OVER -> goto dead
	fi;
	if
	:: atomic { TROUBLE -> troubles++ }; goto dead
	:: atomic {
			if
			:: present[1] && !locked[1] && STILL_THEIRS -> locked[1] = true; took = true; c = next_claim; next_claim++
			:: else
			fi
		}
	fi;
	if
	:: !took -> goto dead
	:: else
	fi;
	atomic { shown[me] = c; entry1[me] = WAITING };
	if
	:: atomic { TROUBLE -> troubles++ }; locked[1] = false; took = false; goto dead
	:: d_step { claim_of[1] = c; locked[1] = false; claim_row[c] = true; lists[c * 2 + 1] = true }
	fi;
	marked = false;

	if
	:: atomic { TROUBLE -> troubles++ }; goto dead
	:: atomic {
			if
			:: entry1[me] == WAITING -> entry1[me] = STARTED
			:: else -> took = false
			fi
		}
	fi;
	if
	:: !took
	:: took && TROUBLE -> troubles++; goto dead
	:: took -> effects[1]++
	fi;
	(!locked[1]);
	atomic {
		settle_row(1, c);
		claim_row[c] = false; lists[c * 2 + 1] = false
	};
dead:
	atomic {
		/* give_back() */
		if
		:: marked && alive[0] && shown[0] == victim_claim && entry1[0] == STOLEN -> entry1[0] = WAITING
		:: else
		fi;
		alive[me] = false; shown[me] = 0; entry1[me] = GONE; orphans = true
	}
}

/*
 * batch_withdraw(): take job 1 out of the batch in which it waits, whose ever that is;
 * running: it has begun
 */
inline withdraw()
{
	atomic {
		running = false;
#ifndef LEAVE_STOLEN
		/* if the theft fails it must not wait there again */
		if
		:: entry1[0] == STOLEN -> entry1[0] = WITHDRAWN
		:: else
		fi;
#endif
		if
		:: entry1[0] == WAITING -> entry1[0] = WITHDRAWN
		:: entry1[0] == STARTED -> running = true
		:: entry1[1] == WAITING -> entry1[1] = WITHDRAWN
		:: entry1[1] == STARTED -> running = true
		:: entry1[2] == WAITING -> entry1[2] = WITHDRAWN
		:: entry1[2] == STARTED -> running = true
		:: else
		fi
	}
}

/* defer.cancel() of job 1 */
proctype Canceller()
{
	byte c;
	byte tries = 0;				/* bounded, so that the model ends */
	bool running;

	do
	:: ENDED(1) || !present[1] || tries == 2 -> goto out
	:: !ENDED(1) && present[1] && tries < 2 ->
		tries++;
		c = claim_of[1];
		if
		:: c != 0 ->
			withdraw();
			if
			:: running -> goto out
			:: else
			fi
		:: else
		fi;
		if
		:: ENDED(1) -> goto out
		:: else
		fi;
		/* only while it has that claim */
		atomic {
			if
			:: present[1] && !locked[1] && SAME_CLAIM -> locked[1] = true; break
			:: else
			fi
		}
	od;
	/* a worker that could not be stolen from may have begun it meanwhile */
#ifndef LOCK_IS_ENOUGH
	if
	:: c != 0 -> withdraw()
	:: else -> running = false
	fi;
#endif
	if
	:: running || ENDED(1) -> locked[1] = false
	:: else ->
		if
		:: atomic { TROUBLE -> troubles++ }; locked[1] = false	/* rolled back */
		:: d_step { cancelled = true; present[1] = false; locked[1] = false }
		fi
	fi;
out:
	skip
}

/* All other workers: they claim one job that is free, run and settle it */
proctype Others()
{
	byte me = 2;
	byte c, j;
	bool runs;

	alive[me] = true;
	do
	:: ALL_OVER -> break
	:: atomic { next_claim < CLAIMS && present[0] && claim_of[0] == 0 && !locked[0] -> locked[0] = true; c = next_claim; next_claim++; j = 0 };
		goto claimed
	:: atomic { next_claim < CLAIMS && present[1] && claim_of[1] == 0 && !locked[1] -> locked[1] = true; c = next_claim; next_claim++; j = 1 };
claimed:
		atomic { shown[me] = c; if :: j == 1 -> entry1[me] = WAITING :: else fi };
		d_step { claim_of[j] = c; locked[j] = false; claim_row[c] = true; lists[c * 2 + j] = true };
		atomic {
			if
			:: j == 1 && entry1[me] == WAITING -> entry1[me] = STARTED; runs = true
			:: j == 1 && entry1[me] != WAITING -> runs = false
			:: j == 0 -> runs = true
			fi
		};
		if
		:: runs -> assert(!ENDED(j)); effects[j]++
		:: else
		fi;
		(!locked[j]);
		atomic {
			settle_row(j, c);
			claim_row[c] = false; lists[c * 2 + j] = false;
			shown[me] = 0; entry1[me] = GONE; c = 0; j = 0; runs = false
		}
	od
}

/* The scheduler: each time that it is told of a worker's end */
proctype Recovery()
{
	byte c;
	bool found;

	do
	:: ALL_OVER -> break
	:: atomic { orphans -> orphans = false };
		c = 1;
		do
		:: c < CLAIMS ->
			/* first what is committed, then who shows it */
#ifndef RECOVERY_LOOKS_FIRST
			found = claim_row[c];
			if
			:: found && LIVE(c) -> found = false
			:: else
			fi;
#else
			found = !LIVE(c);
			if
			:: found && !claim_row[c] -> found = false
			:: else
			fi;
#endif
			if
			:: found ->
				/* one transaction; a row that is held: again later */
				atomic {
					if
					:: !claim_row[c]
					:: claim_row[c] && ((lists[c * 2] && locked[0]) || (lists[c * 2 + 1] && locked[1])) ->
						orphans = true
					:: else ->
						if
						:: lists[c * 2] && present[0] && (claim_of[0] == c || (claim_of[0] != 0 && !LIVE(claim_of[0]))) ->
							if
							:: ENDED(0) -> present[0] = false
							:: else -> SET_FREE(0)
							fi
						:: else
						fi;
						if
						:: lists[c * 2 + 1] && present[1] && (claim_of[1] == c || (claim_of[1] != 0 && !LIVE(claim_of[1]))) ->
							if
							:: ENDED(1) -> present[1] = false
							:: else -> SET_FREE(1)
							fi
						:: else
						fi;
						claim_row[c] = false; lists[c * 2] = false; lists[c * 2 + 1] = false
					fi
				}
			:: else
			fi;
			c++
		:: else -> break
		od;
		c = 0; found = false
	od
}

init
{
	atomic {
		alive[0] = true; next_claim = 2; locked[0] = true; locked[1] = true;
		run Owner(); run Thief(); run Canceller(); run Others(); run Recovery()
	};
	(_nr_pr == 1);
	assert(effects[0] == 1);
	assert(effects[1] + cancelled == 1);
	assert(ALL_OVER)
}
