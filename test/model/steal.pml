/*
 * steal.pml
 *		Each job of a batch is run once, whoever takes it over.
 *
 * A worker (the source) has claimed JOBS jobs in one transaction, whose entries
 * others see.  It starts one after the other, and settles the batch in its next
 * transaction: what it has not started is set free.  An idle worker (the thief)
 * marks entries as stolen, writes its own claim into their rows, and runs them.
 * defer.cancel() withdraws an entry and then writes the row.  Each may fail, or
 * its process end, at each step: what its exit callbacks do is done, then, and
 * the scheduler recovers the claims of processes that are gone.
 *
 * A crash of the server empties shared memory: all claims are recovered then.
 *
 * Each mutant takes one precaution away, and must fail:
 * MUTANTS: STEAL_ANY_ROW START_WITHOUT_LOOK SETTLE_WITHOUT_LOOK KEEP_CLAIM
 */
#define JOBS	2

mtype = { WAITING, STARTED, STOLEN };

/* rows of defer.job: their claim, as committed; 0: free */
#define SOURCE	1
#define THIEF	2
byte claim[JOBS] = SOURCE;
byte lock[JOBS] = 0;			/* row locks */
byte runs[JOBS] = 0;			/* that have committed, with the effect */

/* the source's slot; claim_id 0: there is no batch */
mtype entry[JOBS] = WAITING;
bool published = true;
bool source_lives = true;		/* its claim is not to be recovered */
bool thief_lives = true;
byte failures = 0;
#define MAY_FAIL	(failures < 1)

/* who has run a job inserts its row of history: the row of defer.job is as good as gone */
inline run_job(j)
{
	runs[j]++
}

proctype Source()
{
	byte j;
	bool ours;

	for (j : 0 .. JOBS - 1) {
		if
		:: atomic { MAY_FAIL -> failures++ }; goto gone
		:: skip
		fi;
		atomic {				/* batch_start_job() */
			ours = false;
			if
#ifndef START_WITHOUT_LOOK
			:: entry[j] == WAITING -> entry[j] = STARTED; ours = true
			:: else
#else
			:: entry[j] = STARTED; ours = true
#endif
			fi
		};
		if
		:: ours -> run_job(j)
		:: else
		fi
	}
	/* settle: what was not started is set free, if it is still ours */
	for (j : 0 .. JOBS - 1) {
		if
		:: atomic { lock[j] == 0 -> lock[j] = SOURCE };
			if
#ifndef SETTLE_WITHOUT_LOOK
			:: runs[j] == 0 && entry[j] != STARTED && claim[j] == SOURCE -> claim[j] = 0
#else
			:: runs[j] == 0 && entry[j] != STARTED -> claim[j] = 0
#endif
			:: else
			fi;
			lock[j] = 0
		:: lock[j] != 0 -> skip	/* a leftover: it is tried again with the next batch */
		fi
	}
gone:
	/* worker_detach(): the entries are gone; the scheduler looks for the claim */
	atomic { published = false; source_lives = false }
}

proctype Thief()
{
	byte j, n;
	bool stolen[JOBS], ours[JOBS];
	bool failed;

	atomic {					/* choose a source worker */
		if
		:: published ->
			for (j : 0 .. JOBS - 1) {
				if
				:: entry[j] == WAITING -> entry[j] = STOLEN; stolen[j] = true; n++
				:: else
				fi
			}
		:: else
		fi;
		j = 0
	};
	/* its transaction: the rows that it locks and that are still the source's */
	for (j : 0 .. JOBS - 1) {
		if
		:: stolen[j] ->
			if
			:: atomic { MAY_FAIL -> failures++; failed = true }
			:: !failed && lock[j] == 0 ->
				atomic {
					lock[j] == 0 -> lock[j] = THIEF;
					if
#ifndef STEAL_ANY_ROW
					:: claim[j] == SOURCE && runs[j] == 0 -> ours[j] = true
					:: else -> lock[j] = 0
#else
					:: ours[j] = true
#endif
					fi
				}
			:: !failed && lock[j] != 0 -> skip	/* somebody is at it */
			:: failed
			fi
		:: else
		fi
	};
	if
	:: failed ->
		/* the abort, and the entries wait again, if the batch is still there */
		for (j : 0 .. JOBS - 1) {
			if
			:: ours[j] -> ours[j] = false; lock[j] = 0
			:: else
			fi
		};
		atomic {
			for (j : 0 .. JOBS - 1) {
				if
				:: published && stolen[j] && entry[j] == STOLEN -> entry[j] = WAITING
				:: else
				fi
			}
		}
	:: else ->
		atomic {				/* the commit */
			for (j : 0 .. JOBS - 1) {
				if
				:: ours[j] -> claim[j] = THIEF; lock[j] = 0
				:: else
				fi
			}
		};
		for (j : 0 .. JOBS - 1) {
			if
			:: ours[j] ->
				if
				:: atomic { MAY_FAIL -> failures++ }; goto gone
				:: skip
				fi;
				run_job(j)
			:: else
			fi
		}
	fi;
gone:
	thief_lives = false
}

/* The scheduler: claims without a process */
proctype Recovery()
{
	byte j;

	do
	:: !source_lives && !thief_lives -> break
	:: !source_lives || !thief_lives ->
		for (j : 0 .. JOBS - 1) {
			if
			:: atomic { lock[j] == 0 -> lock[j] = 3 };
				if
#ifndef KEEP_CLAIM
				:: runs[j] == 0 && ((claim[j] == SOURCE && !source_lives) ||
									(claim[j] == THIEF && !thief_lives)) -> claim[j] = 0
				:: else
#else
				:: skip
#endif
				fi;
				lock[j] = 0
			:: lock[j] != 0 -> skip
			fi
		}
	od;
	/* both are gone: once more, and wait for who has a row locked */
	for (j : 0 .. JOBS - 1) {
		atomic {
			lock[j] == 0;
#ifndef KEEP_CLAIM
			if
			:: runs[j] == 0 && (claim[j] == SOURCE || claim[j] == THIEF) -> claim[j] = 0
			:: else
			fi
#endif
		}
	}
}

/* A third worker claims what is free */
proctype Other()
{
	byte j;

	for (j : 0 .. JOBS - 1) {
		do
		:: atomic { claim[j] == 0 && lock[j] == 0 && runs[j] == 0 -> claim[j] = 4 }; run_job(j); break
		:: runs[j] > 0 -> break
		od
	}
}

init
{
	byte i;

	atomic {
		run Source();
		run Thief();
		run Recovery();
		run Other()
	}
	(_nr_pr == 1);				/* a job that nobody runs: this is never reached */
	for (i : 0 .. JOBS - 1) { assert(runs[i] == 1) }
}
