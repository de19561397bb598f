/*
 * fan_out.pml
 *		A job begins once another one, and all jobs that this has enqueued, have ended.
 *
 * The parent is a procedure that commits once in between.  It enqueues up to two jobs, and
 * the first of these one more, which is counted, too ("deep").  Each transaction
 * appends what it has enqueued, what it has deleted of jobs that have ended, and that the
 * parent has ended.  A job's row is deleted after the end of the job: by its worker, or,
 * if that has gone, by recovery.  The scheduler adds up any part of what was appended,
 * and looks at the sum if that was all of its snapshot.  It is told of what was
 * appended after the commit; it forgets that before it looks.
 *
 * Each mutant must fail:
 * MUTANTS: PART PLUS_LATE NOT_CLOSED MINUS_AT_END DELETED_UNSEEN FOLD_IN_TWO RESET_LATE
 */

#define JOBS	3				/* the third is enqueued by the first */

/* Tables: what is committed */
bool row[JOBS];					/* of defer.job */
bool ended[JOBS];				/* there is one in the history */
bool parent_ended = false;
byte enqueued, gone;			/* appended, not added up */
bool closing = false;
byte jobs, over;				/* added up */
bool closed = false;
bool done = false;
byte callbacks = 0;

bool told = false;				/* shared memory */

bool lost[JOBS];				/* the worker has gone before it deleted the row */

#ifdef PLUS_LATE
#define COUNT_ENQUEUED(n)
#define COUNT_LATE(n)	enqueued = enqueued + n; told = true
#else
#define COUNT_ENQUEUED(n)	enqueued = enqueued + n
#define COUNT_LATE(n)	skip
#endif

proctype Parent()
{
	byte n;

	if
	:: n = 0
	:: n = 1
	fi;
	d_step { if :: n == 1 -> row[0] = true :: else fi; COUNT_ENQUEUED(n) };
	told = true;
	COUNT_LATE(n);
	if
	:: n = 0
	:: n = 1
	fi;
	d_step {
		if :: n == 1 -> row[1] = true :: else fi;
		COUNT_ENQUEUED(n);
		closing = true;
		parent_ended = true
	};
	told = true;
	COUNT_LATE(n)
}

/* Deletes the row of a job that has ended, and counts it */
inline settle(i)
{
	d_step {
#ifdef DELETED_UNSEEN
		row[i] = false;
		gone++
#else
		if
		:: row[i] ->
			row[i] = false;
#ifdef MINUS_AT_END
			if :: lost[i] -> gone++ :: else fi
#else
			gone++
#endif
		:: else
		fi
#endif
	};
	told = true
}

proctype Worker(byte i)
{
end:
	row[i];
	d_step {
		ended[i] = true;
		if
		:: i == 0 -> row[2] = true; COUNT_ENQUEUED(1)
		:: else
		fi;
#ifdef MINUS_AT_END
		gone++
#endif
	};
	told = true;
	if
	:: i == 0 -> COUNT_LATE(1)
	:: else
	fi;
	if
	:: settle(i)
	:: i == 0 -> lost[i] = true			/* killed */
	:: i == 2 -> lost[i] = true; settle(i)	/* it is only thought to be gone */
	fi
}

proctype Recovery(byte i)
{
end:
	lost[i];
	settle(i)
}

inline end_batch()
{
	if
#ifdef NOT_CLOSED
	:: jobs == over && !done ->
#else
	:: closed && jobs == over && !done ->
#endif
		done = true;
		callbacks++;
		assert(parent_ended && (!row[0] || ended[0]) && (!row[1] || ended[1]) &&
			   (!row[2] || ended[2]))
	:: else
	fi
}

proctype Scheduler()
{
	byte a, b;
	bool c, all;

end:
	do
	:: told ->
#ifndef RESET_LATE
		told = false;
#endif
		a = 0; b = 0; c = false;
		/* one transaction, in one snapshot; which rows it takes is not known */
		atomic {
			if :: a = enqueued :: skip fi;
			if :: b = gone :: skip fi;
			if :: c = closing :: skip fi;
			all = (a == enqueued && b == gone && c == closing);
			enqueued = enqueued - a;
			gone = gone - b;
			if :: c -> closing = false :: else fi;
#ifndef FOLD_IN_TWO
			jobs = jobs + a;
			over = over + b;
			closed = closed || c;
#ifdef PART
			all = true;
#endif
			if :: all -> end_batch() :: else fi
#endif
		};
#ifdef FOLD_IN_TWO
		if
		:: atomic {
				jobs = jobs + a;
				over = over + b;
				closed = closed || c;
				if :: all -> end_batch() :: else fi
			}
		:: skip					/* a crash between the two */
		fi;
#endif
#ifdef RESET_LATE
		told = false;
#endif
		if
		:: !all && !done -> told = true
		:: else
		fi
	od
}

init
{
	atomic {
		run Parent();
		run Worker(0);
		run Worker(1);
		run Worker(2);
		run Recovery(0);
		run Recovery(2);
		run Scheduler()
	};
	timeout;
	assert(callbacks == 1)
}
