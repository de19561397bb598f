/*
 * reserved.pml
 *		Workers that are kept for a queue: jobs of others never take the last one of them,
 *		and no job that may begin is forgotten.
 *
 * MAX workers may run jobs, RESERVED of them are kept for urgent ones.  Each worker is of
 * another role, which has one ordinary job; there is one urgent job that any may run.  A worker looks under ready_lock
 * whether it may begin a job, and is counted there.  If it may not it notes that, and
 * sleeps; one that ends a job while that is noted wakes the others.
 *
 * Ordinary jobs last until the urgent one has run.
 *
 * Each mutant takes one precaution away, and must fail:
 * MUTANTS: COUNT_LATER FORGET_DENIED IGNORE_RESERVED CLEAR_AT_LOOK
 */
#define MAX			3
#define RESERVED	1

bool ordinary[MAX] = true;		/* jobs that have not begun */
bool urgent = true;
bool urgent_done = false;
byte busy = 0;					/* workers that are counted */
byte busy_urgent = 0;
byte running = 0;				/* ordinary jobs that really run */
byte done = 0;
bool denied = false;
bool latch[MAX] = true;

#define KEPT	(busy_urgent < RESERVED -> RESERVED - busy_urgent : 0)
#ifdef IGNORE_RESERVED
#define MAY		(MAX > busy)
#else
#define MAY		(MAX - busy > KEPT)
#endif

inline wake_all()
{
	byte i;
	for (i : 0 .. MAX - 1) { latch[i] = true }
}

inline leave(was_urgent)
{
	bool wake;
	atomic {
		busy--;
		if
		:: was_urgent -> busy_urgent--
		:: else
		fi;
		wake = denied; denied = false
	};
	if
	:: wake -> atomic { wake_all() }
	:: else
	fi
}

proctype Worker(byte me)
{
	byte got;					/* 0 nothing, 1 ordinary, 2 urgent */

	do
	:: done == MAX + 1 -> break
	:: atomic { latch[me] -> latch[me] = false };
		do
		:: got = 0;
			atomic {
				if
				:: urgent -> urgent = false; got = 2; busy++; busy_urgent++
				:: !urgent && ordinary[me] ->
					if
					:: MAY ->
						ordinary[me] = false; got = 1;
#ifndef COUNT_LATER
						busy++
#endif
					:: else ->
#ifndef FORGET_DENIED
						denied = true
#endif
					fi
				:: else
				fi;
#ifdef CLEAR_AT_LOOK
				if
				:: got == 0 -> denied = false
				:: else
				fi
#endif
			};
#ifdef COUNT_LATER
			if
			:: got == 1 -> atomic { busy++ }
			:: else
			fi;
#endif
			if
			:: got == 0 -> break
			:: got == 1 ->
				atomic { running++; assert(running <= MAX - RESERVED) };
				urgent_done;
				atomic { running--; done++ };
				leave(false)
			:: got == 2 ->
				atomic { urgent_done = true; done++ };
				leave(true)
			fi
		od
	od
}

init
{
	atomic { run Worker(0); run Worker(1); run Worker(2) }
}
