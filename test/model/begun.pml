/*
 * begun.pml
 *		After a crash of the server each job's work is there once, and the job that
 *		has crashed it is blamed, although no claim of a function is flushed.
 *
 * The tables are what the WAL says: a crash keeps a prefix of it that has all that
 * was flushed.  A worker stores in its entry of a file that is mapped into memory
 * which job it begins: the file survives all but the loss of the machine.  Job 0 is
 * one that may be begun once (its claim is flushed before that, and its end before
 * the entry is cleared); job 1 is a function.  The enqueue of job 1 is not flushed:
 * after a crash its id may be that of another job.
 *
 * Two workers claim what is free: the first one job 0, or both, of which the second
 * steals job 1.  They run them and settle.  A session cancels job 1.  At each step a
 * worker, another process or the postmaster may be killed, the server be stopped at
 * once, or the machine be lost.  When the server is started it reads the file; recovery
 * then deals with the jobs that had begun, before any claim, and with the claims that
 * are left.
 *
 * Each mutant must fail:
 * MUTANTS: RUN_BEFORE_COMMIT CLEAR_BEFORE_COMMIT BEGUN_FIRST MATCH_BY_ID
 * MUTANTS: CLAIM_BEFORE_RECOVERY BLAME_OF_DEAD_POSTMASTER IGNORE_MARKS
 * MUTANTS: ONCE_UNFLUSHED ONCE_END_UNFLUSHED ALONE_IS_NOT_BEGUN
 */
#ifndef CRASHES
#define CRASHES	1				/* 2 takes minutes, and much memory */
#endif
#define RECORDS	9				/* that are not flushed */
#define CLAIMS	5				/* numbers from 1 on */

mtype = { GONE, WAITING, STARTED, STOLEN, WITHDRAWN };
mtype = { CLAIM, EFFECT, SETTLE, CANCEL, ENQUEUE, CRASHED, FREE, GIVE_UP };
mtype = { NOBODY, BYSTANDER, SUSPECT, CULPRIT };
mtype = { KILL, OTHER, IMMEDIATE, POSTMASTER, MACHINE };

typedef Tables {
	bool present[2];			/* rows of defer.job */
	byte claim_of[2];			/* 0: free */
	byte attempt[2];
	byte born;					/* enqueued_at of job 1 */
	byte effects[2];			/* with the row in the history */
	bool failed;				/* job 0: it was begun, and may not be again */
	bool cancelled;				/* job 1 */
	byte claim_row[CLAIMS]		/* jobs, as bits; 0: no row */
};

Tables now_;					/* what transactions see */
Tables base;					/* what is on disk */
Tables initial;

/* The WAL since then: what is not flushed */
mtype kind_of[RECORDS];
byte arg[RECORDS];
byte end;

/* Shared memory */
bool recovered = true;
bool locked[2];
byte shown[2];					/* claim of a worker */
mtype entry[4] = GONE;			/* worker * 2 + job */

/* The file */
bool begun[2];
byte box_job[2], box_attempt[2], box_born[2];
mtype pending[2] = NOBODY;		/* job: to be dealt with */
byte pending_attempt[2], pending_born[2];

/* What is true, for the assertions */
byte at[2] = 2;					/* the job that a worker has started; 2: none */
bool in_run[2];					/* and is in */
bool owed[2];					/* it has crashed the server, and was not blamed yet */
byte owed_born;
byte runs;						/* of job 0 */
bool excused;					/* the machine was lost, and it was not alone */
byte crashes, births;

#define ENDED(j)	(now_.effects[j] > 0 || (j == 0 && now_.failed) || (j == 1 && now_.cancelled))
#define ALL_OVER	(ENDED(0) && ENDED(1) && !now_.present[0] && !now_.present[1] && \
					 recovered && crashes == CRASHES)
#define BORN(j)		(j == 1 -> now_.born : 0)
#define LIVE(c)		(shown[0] == c || shown[1] == c)

inline Copy(to, from)
{
	to.present[0] = from.present[0]; to.present[1] = from.present[1];
	to.claim_of[0] = from.claim_of[0]; to.claim_of[1] = from.claim_of[1];
	to.attempt[0] = from.attempt[0]; to.attempt[1] = from.attempt[1];
	to.born = from.born;
	to.effects[0] = from.effects[0]; to.effects[1] = from.effects[1];
	to.failed = from.failed; to.cancelled = from.cancelled;
	to.claim_row[1] = from.claim_row[1]; to.claim_row[2] = from.claim_row[2];
	to.claim_row[3] = from.claim_row[3]; to.claim_row[4] = from.claim_row[4]
}

/* All that is in the WAL is on disk now */
inline flush()
{
	if
	:: crashes < CRASHES -> Copy(base, now_)
	:: else
	fi;
	do
	:: end > 0 -> end--; kind_of[end] = 0; arg[end] = 0
	:: else -> break
	od;
	skip
}

inline settle_row(j, c)
{
	if
	:: now_.claim_of[j] == c && ENDED(j) -> now_.present[j] = false; now_.claim_of[j] = 0
	:: now_.claim_of[j] == c && !ENDED(j) -> now_.claim_of[j] = 0
	:: else
	fi
}

/* What a record does; a claim's argument is its number * 4 + its jobs */
inline apply(k, a)
{
	if
	:: k == CLAIM ->
		if
		:: (a & 1) != 0 -> now_.claim_of[0] = a / 4
		:: else
		fi;
		if
		:: (a & 2) != 0 -> now_.claim_of[1] = a / 4
		:: else
		fi;
		now_.claim_row[a / 4] = a & 3
	:: k == EFFECT -> now_.effects[a]++
	:: k == SETTLE -> settle_row(0, a); settle_row(1, a); now_.claim_row[a] = 0
	:: k == CANCEL -> now_.cancelled = true; now_.present[1] = false; now_.claim_of[1] = 0
	:: k == ENQUEUE -> now_.present[1] = true; now_.born = a; now_.claim_of[1] = 0; now_.attempt[1] = 0
	:: k == CRASHED -> now_.attempt[a]++; now_.claim_of[a] = 0
	:: k == FREE -> now_.claim_of[a] = 0
	:: k == GIVE_UP -> now_.failed = true; now_.present[0] = false; now_.claim_of[0] = 0
	fi
}

inline write(k, a)
{
	if
	:: crashes < CRASHES -> assert(end < RECORDS); kind_of[end] = k; arg[end] = a; end++
	:: else					/* nothing will look at it */
	fi;
	apply(k, a)
}

/* ------------------------------------------------------------------------
 * Workers
 * ------------------------------------------------------------------------ */

/* Run job j of our batch, if it still waits there */
inline run_job(j)
{
	atomic {
		if
		:: entry[me * 2 + j] == WAITING -> entry[me * 2 + j] = STARTED; mine = true
		:: else -> mine = false
		fi
	};
	if
	:: mine ->
#ifndef BEGUN_FIRST
		atomic { at[me] = j; box_job[me] = j; box_attempt[me] = now_.attempt[j]; box_born[me] = BORN(j) };
		begun[me] = true;
#else
		atomic { at[me] = j; begun[me] = true };
		atomic { box_job[me] = j; box_attempt[me] = now_.attempt[j]; box_born[me] = BORN(j) };
#endif
#ifndef ONCE_UNFLUSHED
		if
		:: j == 0 -> d_step { flush() }; skip
		:: else
		fi;
#endif
		atomic {
			in_run[me] = true;
			if
			:: j == 0 -> runs++; assert(runs == 1 || excused)
			:: else
			fi
		};
#ifdef CLEAR_BEFORE_COMMIT
		begun[me] = false;
#endif
		d_step {
			write(EFFECT, j);
			assert(now_.effects[j] == 1 && !(j == 1 && now_.cancelled));
			in_run[me] = false
		};
#ifndef ONCE_END_UNFLUSHED
		if
		:: j == 0 -> d_step { flush() }; skip
		:: else
		fi;
#endif
		atomic { begun[me] = false; at[me] = 2; box_attempt[me] = 0; box_born[me] = 0 }
	:: else
	fi
}

inline commit_claim()
{
	d_step {
		write(CLAIM, (c * 4 + jobs));
		if
		:: (jobs & 1) != 0 -> locked[0] = false
		:: else
		fi;
		if
		:: (jobs & 2) != 0 -> locked[1] = false
		:: else
		fi
	}
}

/* Lock the rows of the jobs, show the batch with the number of the claim */
inline take(bits)
{
	jobs = bits;
	c = 1;
	do
	:: now_.claim_row[c] != 0 || LIVE(c) -> c++
	:: else -> break
	od;
	if
	:: (jobs & 1) != 0 -> locked[0] = true; entry[me * 2] = WAITING
	:: else
	fi;
	if
	:: (jobs & 2) != 0 -> locked[1] = true; entry[me * 2 + 1] = WAITING
	:: else
	fi;
	shown[me] = c
}

#ifndef CLAIM_BEFORE_RECOVERY
#define MAY_CLAIM	recovered
#else
#define MAY_CLAIM	true
#endif
#define IS_FREE(j)	(now_.present[j] && now_.claim_of[j] == 0 && !locked[j])

proctype Worker(byte me)
{
	byte c, jobs;
	byte era;
	bool mine;

again:
	era = crashes;
	{
		do
		:: d_step { me == 0 && MAY_CLAIM && IS_FREE(0) && !IS_FREE(1) -> take(1) }; break
		:: d_step { me == 1 && MAY_CLAIM && IS_FREE(1) -> take(2) }; break
		:: d_step { me == 0 && MAY_CLAIM && IS_FREE(0) && IS_FREE(1) -> take(3) }; break
		:: d_step { me == 1 && MAY_CLAIM && entry[0] == STARTED && entry[1] == WAITING &&
				now_.claim_of[1] == shown[0] && !locked[1] ->
				entry[1] = STOLEN;
				take(2)
			}; break
		:: ALL_OVER -> goto over
		od;
		assert((jobs & 1) == 0 || !owed[0]);
		assert((jobs & 2) == 0 || !owed[1] || owed_born != now_.born);
#ifndef RUN_BEFORE_COMMIT
		commit_claim();
#endif
		if
		:: (jobs & 1) != 0 -> run_job(0)
		:: else
		fi;
		if
		:: (jobs & 2) != 0 -> run_job(1)
		:: else
		fi;
#ifdef RUN_BEFORE_COMMIT
		commit_claim();
#endif
		(!((jobs & 1) != 0 && locked[0]) && !((jobs & 2) != 0 && locked[1]));
		d_step {
			write(SETTLE, c);
			shown[me] = 0; entry[me * 2] = GONE; entry[me * 2 + 1] = GONE; c = 0; jobs = 0; mine = false
		};
		goto again
	} unless { era != crashes };
	d_step { c = 0; jobs = 0; mine = false };
	goto again;
over:
	skip
}

/* ------------------------------------------------------------------------
 * Sessions
 * ------------------------------------------------------------------------ */

proctype Enqueuer()
{
	do
	:: atomic { !now_.present[1] && !ENDED(1) && births <= CRASHES ->
			d_step { births++; write(ENQUEUE, births) }
		}
	:: ALL_OVER -> break
	od
}

inline withdraw()
{
	if
	:: entry[1] == STOLEN -> entry[1] = WITHDRAWN
	:: else
	fi;
	if
	:: entry[3] == STOLEN -> entry[3] = WITHDRAWN
	:: else
	fi;
	if
	:: entry[1] == WAITING -> entry[1] = WITHDRAWN
	:: entry[1] == STARTED -> running = true
	:: entry[3] == WAITING -> entry[3] = WITHDRAWN
	:: entry[3] == STARTED -> running = true
	:: else
	fi
}

/* defer.cancel() of job 1, once; what a worker runs is left to it */
proctype Canceller()
{
	byte era;
	bool running;

	era = crashes;
	{
		/* take it out of the batch in which it waits, lock the row */
		if
		:: atomic { now_.present[1] && !locked[1] && !ENDED(1) ->
				if
				:: now_.claim_of[1] != 0 -> withdraw()
				:: else
				fi;
				if
				:: running -> goto out
				:: else -> locked[1] = true
				fi
			}
		:: ALL_OVER -> goto out
		fi;
		/* a worker that could not be stolen from may have begun it meanwhile */
		atomic {
			if
			:: now_.claim_of[1] != 0 -> withdraw()
			:: else
			fi;
			locked[1] = false;
			if
			:: running || ENDED(1)
			:: else -> d_step { write(CANCEL, 0); flush() }
			fi
		}
	} unless { era != crashes };
out:
	skip
}

/* ------------------------------------------------------------------------
 * Recovery
 * ------------------------------------------------------------------------ */

#ifndef MATCH_BY_ID
#define SAME_JOB(j)		(pending_born[j] == BORN(j))
#else
#define SAME_JOB(j)		true
#endif
#define SAME_ATTEMPT(j)	(pending_attempt[j] == now_.attempt[j])

/* A job that had begun: its row, then the file */
inline settle_begun(j)
{
	if
	:: pending[j] != NOBODY ->
		d_step {
			if
			:: now_.present[j] && !ENDED(j) && SAME_JOB(j) && SAME_ATTEMPT(j) ->
				if
				:: pending[j] == CULPRIT ->
					assert(owed[j] && (j == 0 || owed_born == now_.born));
					owed[j] = false
				:: else
				fi;
				if
				:: j == 0 -> write(GIVE_UP, 0)
				:: j == 1 && pending[j] == CULPRIT -> write(CRASHED, 1)
				:: else -> write(FREE, 1)
				fi;
				flush()
			:: else -> owed[j] = false
			fi
		};
		atomic { pending[j] = NOBODY; pending_attempt[j] = 0; pending_born[j] = 0 }
	:: else
	fi
}

proctype Recovery()
{
	byte c, era;
	bool alone[CLAIMS];

	do
	:: ALL_OVER -> break
	:: !recovered ->
		era = crashes;
		{
			/* before the file is looked at: which jobs were alone */
			d_step {
				c = 1;
				do
				:: c < CLAIMS ->
					alone[c] = now_.claim_row[c] != 0 && !ENDED(0) && (now_.claim_row[c] & 1) != 0 &&
						now_.claim_of[0] == c && ((now_.claim_row[c] & 2) == 0 || ENDED(1) || now_.claim_of[1] != c);
					c++
				:: else -> break
				od;
				c = 0
			};
			settle_begun(0);
			settle_begun(1);
			c = 1;
			do
			:: c < CLAIMS && now_.claim_row[c] != 0 && !LIVE(c) ->
				(!locked[0] && !locked[1]);
				d_step {
					if
					:: now_.claim_row[c] == 0
#ifndef ALONE_IS_NOT_BEGUN
					:: now_.claim_row[c] != 0 && alone[c] && now_.claim_of[0] == c ->
						write(GIVE_UP, 0);
						write(SETTLE, c)
#endif
					:: else -> write(SETTLE, c)
					fi;
					flush();
					c++
				}
			:: c < CLAIMS && !(now_.claim_row[c] != 0 && !LIVE(c)) -> c++
			:: else -> break
			od;
			recovered = true
		} unless { era != crashes };
		d_step { c = 1; do :: c < CLAIMS -> alone[c] = false; c++ :: else -> break od; c = 0 }
	od
}

/* ------------------------------------------------------------------------
 * Crashes
 * ------------------------------------------------------------------------ */

/* What the server makes of the entries of the file when it is started */
inline read_file()
{
	w = 0; unmarked = 0;
	do
	:: w < 2 ->
		marked[w] = (kind == KILL && w != victim) || kind == OTHER || kind == IMMEDIATE;
#ifdef IGNORE_MARKS
		marked[w] = false;
#endif
		if
		:: begun[w] && !marked[w] -> unmarked++
		:: else
		fi;
		w++
	:: else -> break
	od;
	w = 0;
	do
	:: w < 2 && begun[w] ->
		j = box_job[w];
		pending_attempt[j] = box_attempt[w]; pending_born[j] = box_born[w];
		if
		:: marked[w] -> pending[j] = BYSTANDER
#ifndef BLAME_OF_DEAD_POSTMASTER
		:: !marked[w] && unmarked == 1 && kind != POSTMASTER ->
#else
		:: !marked[w] && unmarked == 1 ->
#endif
			pending[j] = CULPRIT;
			assert(kind == KILL && at[victim] == j)
		:: else -> pending[j] = SUSPECT
		fi;
		w++
	:: w < 2 && !begun[w] -> w++
	:: else -> break
	od;
	w = 0; j = 0
}

/* The WAL is replayed, up to any record */
inline replay()
{
	Copy(now_, base);
	w = 0;
	do
	:: w < cut -> apply(kind_of[w], arg[w]); w++
	:: else -> break
	od;
	w = 0;
	flush();
	if
	:: crashes == CRASHES -> Copy(base, initial)
	:: else
	fi;
	skip
}

proctype Faults()
{
	mtype kind;
	byte victim, w, j, cut, unmarked;
	bool marked[2];

	do
	:: crashes == CRASHES -> break
	:: atomic { crashes < CRASHES ->
			crashes++;
			victim = 0;
			if
			:: kind = KILL
			:: kind = KILL; victim = 1
			:: kind = OTHER
			:: kind = IMMEDIATE
			:: kind = POSTMASTER
			:: kind = MACHINE
			fi;
			cut = 0;
			do
			:: cut < end -> cut++
			:: break
			od;
			recovered = false;

			/* all processes are gone */
			d_step {
				if
				:: kind == KILL && in_run[victim] ->
					owed[at[victim]] = true;
					owed_born = (at[victim] == 1 -> box_born[victim] : owed_born)
				:: kind == KILL && !in_run[victim] && begun[victim] && at[victim] < 2 ->
					owed[at[victim]] = true; owed_born = (at[victim] == 1 -> now_.born : owed_born)
				:: kind == MACHINE ->
					owed[0] = false; owed[1] = false; pending[0] = NOBODY; pending[1] = NOBODY;
					begun[0] = false; begun[1] = false;
					excused = excused || (now_.claim_of[0] != 0 && (now_.claim_row[now_.claim_of[0]] & 2) != 0)
				:: else
				fi;
				if
				:: kind != MACHINE -> skip; read_file(); skip
				:: else -> skip
				fi;
				/* each that was in a job that it alone may have crashed in is found */
				assert(kind != KILL || !in_run[victim] || pending[at[victim]] == CULPRIT);
				replay();
				begun[0] = false; begun[1] = false; at[0] = 2; at[1] = 2; in_run[0] = false; in_run[1] = false;
				box_job[0] = 0; box_attempt[0] = 0; box_born[0] = 0;
				box_job[1] = 0; box_attempt[1] = 0; box_born[1] = 0;
				locked[0] = false; locked[1] = false; shown[0] = 0; shown[1] = 0;
				entry[0] = GONE; entry[1] = GONE; entry[2] = GONE; entry[3] = GONE;
				cut = 0; unmarked = 0; marked[0] = false; marked[1] = false; victim = 0; kind = OTHER
			}
		}
	od
}

init
{
	atomic {
		now_.present[0] = true;
		base.present[0] = true;
		births = 1; write(ENQUEUE, births);
		run Worker(0); run Worker(1); run Enqueuer(); run Canceller(); run Recovery(); run Faults()
	};
	(_nr_pr == 1);
	assert(now_.effects[0] + now_.failed == 1);
	assert(now_.effects[1] + now_.cancelled == 1);
	assert(!owed[0] && !owed[1])
}
