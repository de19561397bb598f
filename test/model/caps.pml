/*
 * caps.pml
 *		The count of unfinished jobs under max_queued: never too low, and exact unless it
 *		is marked as doubtful.
 *
 * One job is there.  Two sessions enqueue one more each, and commit or roll back; each may
 * have read the settings before anyone knew of the cap.  The first and the third job are
 * ended by a transaction each, which may not know of it either, and may be rolled back.
 * The jobs are counted twice: when the cap is used first, and again.  Rows are read one by
 * one; a snapshot says which of them were committed, or ended, when it was taken.
 *
 * All steps under caps_lock are atomic.  A commit is visible before its callback is called.
 *
 * Each mutant takes one precaution away, and must fail:
 * MUTANTS: NO_CUT COMMITTED_ONLY NO_SECOND_LOOK GENERATION_LATE GIVE_ANY TAKE_UNCOUNTED NO_DOUBT_LATE NO_DOUBT_OTHER NO_DOUBT_UNKNOWN ENDS_BEFORE_COMMIT
 */
#define LIMIT	2
#define ROWS	3

mtype = { NO_ROW, INSERTED, COMMITTED, ROLLED_BACK };
mtype = { UNKNOWN, CUT, COUNTING, KNOWN };

mtype row[ROWS] = NO_ROW;
bool ended[ROWS];				/* visibly */
bool taken[ROWS];

mtype phase = UNKNOWN;
byte counting = 0;
byte generation = 1;
short count = 0;
bool doubtful = false;

byte busy = 5;					/* processes */

#define LIVES(r)	((row[r] == COMMITTED && !ended[r]) || (row[r] == INSERTED && taken[r]))
#define JOBS	(LIVES(0) + LIVES(1) + LIVES(2))

/* Jobs of before the cap may be more than it allows; then no place is taken */
inline check()
{
	assert(phase != KNOWN || count >= JOBS);
	assert(JOBS <= LIMIT || !((LIVES(1) && taken[1]) || (LIVES(2) && taken[2])))
}

/* Subtract one; "number": of the count that it was noted under */
inline give(number)
{
	if
#ifdef GIVE_ANY
	:: true -> count--
#else
	:: number == counting -> count--
	:: else ->
#ifndef NO_DOUBT_OTHER
		doubtful = true
#endif
#endif
	fi
}

/* At the end of a transaction whose first job was at generation "since" */
inline settle(since)
{
#ifndef NO_DOUBT_UNKNOWN
	if
	:: since != generation -> doubtful = true
	:: else
	fi
#else
	skip
#endif
}

proctype Enqueue(byte r)
{
	byte since;
	byte before = 0;
	byte note;
	bool knows = false;

	since = generation;
	if
	:: since == 1				/* settings of before, or not */
	:: knows = true;
		atomic { phase == KNOWN -> before = counting; since = generation }
	fi;
	row[r] = INSERTED;
#ifndef NO_SECOND_LOOK
	if
	:: generation != since -> knows = true; before = 0
	:: else
	fi;
#endif
	if
	:: knows ->
		atomic {
#ifdef TAKE_UNCOUNTED
			phase != UNKNOWN ->
#else
			phase == KNOWN ->
#endif
			if
			:: count >= LIMIT -> row[r] = ROLLED_BACK
			:: else ->
				count++;
				note = counting;
				taken[r] = true
			fi;
#ifndef NO_DOUBT_LATE
			if
			:: counting > before -> doubtful = true
			:: else
			fi;
#endif
			check()
		}
	:: else
	fi;
	if
	:: row[r] == INSERTED -> atomic { row[r] = COMMITTED; check() }
	:: row[r] == INSERTED -> row[r] = ROLLED_BACK;
		atomic {
			if
			:: taken[r] -> give(note)
			:: else
			fi;
			check()
		}
	:: row[r] == ROLLED_BACK
	fi;
	atomic { settle(since); busy-- }
}

proctype End(byte r)
{
	byte since;
	byte note = 0;
	bool knows = false;

	/* or the job was rolled back */
	if
	:: row[r] == COMMITTED
	:: row[r] == ROLLED_BACK -> goto out
	fi;
	since = generation;
	if
	:: since == 1
	:: knows = true;
		atomic {
			if
			:: phase == COUNTING || phase == KNOWN -> note = counting
			:: else
			fi
		}
	fi;
	if
	:: skip						/* rolled back */
	:: skip;
#ifdef ENDS_BEFORE_COMMIT
		atomic { if :: knows -> give(note) :: else fi; check() };
		ended[r] = true;
#else
		ended[r] = true;
		atomic { if :: knows -> give(note) :: else fi; check() };
#endif
		atomic { settle(since) }
	fi;
out:
	busy--
}

proctype Count()
{
	bool sees[ROWS];
	bool is_open[ROWS];
	byte turn;
	byte r;
	byte n;

	for (turn : 1 .. 2) {
		atomic {
			phase = CUT;
			count = 0;
			doubtful = false;
			counting++;
#ifndef GENERATION_LATE
			if :: turn == 1 -> generation++ :: else fi
#endif
		};
#ifdef NO_CUT
		phase = COUNTING;
#endif
		d_step {
			for (r : 0 .. ROWS - 1) {
				sees[r] = row[r] == COMMITTED && !ended[r];
				is_open[r] = row[r] != COMMITTED
			}
			r = 0;
			n = 0
		};
		phase = COUNTING;
		do
		:: r < ROWS ->
			atomic {
				if
				:: sees[r] -> n++
#ifndef COMMITTED_ONLY
				:: !sees[r] && is_open[r] && (row[r] == INSERTED || row[r] == COMMITTED) -> n++
#endif
				:: else
				fi;
				r++
			}
		:: else -> break
		od;
		atomic {
			count = count + n;
			phase = KNOWN;
#ifdef GENERATION_LATE
			if :: turn == 1 -> generation++ :: else fi;
#endif
			check()
		}
	}
	atomic {
		busy-- ;
		busy == 0 -> assert(doubtful || count == JOBS)
	}
}

init
{
	atomic {
		row[0] = COMMITTED;
		run Enqueue(1);
		run Enqueue(2);
		run End(0);
		run End(2);
		run Count()
	}
}
