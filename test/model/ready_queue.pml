/*
 * ready_queue.pml
 *		No free job is left behind a ready queue's min_key.
 *
 * Enqueuing backends commit a row, then lower min_key in the commit callback.
 * Claiming workers scan the rows from min_key on, one worker at a time (the
 * claim lock), raise min_key, release the claim lock, and commit or abort after
 * that.  A worker may fail at each step.  A session may lock a row meanwhile.
 *
 * A crash of the server empties shared memory; the scheduler then rebuilds it
 * from the table, which needs no model.
 *
 * Each mutant takes one precaution away, and must fail:
 * MUTANTS: NO_SCAN_MIN_KEY NO_ABORT FORGET_SKIPPED ADD_BEFORE_COMMIT
 */
#define JOBS	2
#define WORKERS	2
#define NONE	JOBS			/* after every key */

mtype = { ABSENT, FREE, LOCKED, TAKEN };

mtype row[JOBS] = ABSENT;
byte min_key = NONE;
byte scan_min_key = NONE;
byte scanners = 0;
bool claim_lock = false;
byte enqueued = 0;
byte failures = 0;
byte done = 0;					/* enqueuers and sessions that have ended */

inline ready_queue_add(key)
{
	atomic {
		if
		:: key < min_key -> min_key = key
		:: else
		fi;
#ifndef NO_SCAN_MIN_KEY
		if
		:: scanners > 0 && key < scan_min_key -> scan_min_key = key
		:: else
		fi
#endif
	}
}

proctype Enqueuer(byte key)
{
#ifdef ADD_BEFORE_COMMIT
	ready_queue_add(key);
	row[key] = FREE;
#else
	row[key] = FREE;			/* the commit is visible */
	ready_queue_add(key);		/* the commit callback */
#endif
	done++
}

/* defer.reschedule() and the like: lock a free row, and let it go */
proctype Session(byte key)
{
	if
	:: atomic { row[key] == FREE -> row[key] = LOCKED };
		atomic { row[key] = FREE };
		ready_queue_add(key)
	:: skip
	fi;
	done++
}

/* A transaction's end shows all that it has done at once */
inline rows_become(what)
{
	d_step {
		for (key : 0 .. JOBS - 1) {
			if
			:: mine[key] -> row[key] = what; mine[key] = false
			:: else
			fi
		}
		key = 0
	}
}

/* A worker fails only so often, so that the model ends */
#define MAY_FAIL	(failures < 1)

proctype Worker()
{
	byte start, next, key;
	bool mine[JOBS];
	bool holds;

	do
	:: atomic {
			/* ready_queue_choose() */
			min_key < NONE -> scanners++; start = min_key;
			holds = false; next = NONE; key = 0
		};

		/* ready_queue_scan_begin() */
		if
		:: atomic { MAY_FAIL -> failures++ }; goto fail
		:: atomic { !claim_lock -> claim_lock = true; holds = true };
		fi;
		atomic { start = min_key; scan_min_key = NONE; key = start };

		/* the scan: rows that are locked are skipped */
		do
		:: key >= NONE -> break
		:: atomic { MAY_FAIL -> failures++ }; goto fail
		:: key < NONE ->
			atomic {
				if
				:: row[key] == FREE -> row[key] = LOCKED; mine[key] = true
				:: row[key] == LOCKED ->
#ifndef FORGET_SKIPPED
					if
					:: key < next -> next = key
					:: else
					fi
#else
					skip
#endif
				:: else
				fi;
				key++
			}
		od;

		/* ready_queue_scan_advance() */
		atomic {
			if
			:: scan_min_key < next -> min_key = scan_min_key
			:: else -> min_key = next
			fi;
			claim_lock = false; holds = false
		};

		/* the transaction commits, or fails */
		if
		:: atomic { MAY_FAIL -> failures++ }; goto fail
		:: skip
		fi;
		rows_become(TAKEN);
		atomic { scanners--; key = 0; start = 0; next = 0 };
		goto again;

fail:
		/*
		 * ready_queue_scan_abort(), and the transaction's abort: in either order
		 */
		if
		:: skip;
			rows_become(FREE)
		:: skip
		fi;
		atomic {
#ifndef NO_ABORT
			if
			:: start < min_key -> min_key = start
			:: else
			fi;
			if
			:: start < scan_min_key -> scan_min_key = start
			:: else
			fi;
#endif
			scanners--;
			if
			:: holds -> claim_lock = false; holds = false
			:: else
			fi
		};
		rows_become(FREE);
		atomic { key = 0; start = 0; next = 0 };
again:
		skip
	:: atomic { done == JOBS + 1 && min_key == NONE && scanners == 0 -> break }
	od
}

init
{
	byte i;

	atomic {
		for (i : 0 .. JOBS - 1) { run Enqueuer(i) }
		run Session(1);
		for (i : 1 .. WORKERS) { run Worker() }
	}
	(_nr_pr == 1);
	for (i : 0 .. JOBS - 1) { assert(row[i] == TAKEN) }
}
