/*
 * order.pml
 *		The jobs of a group with an order run one after the other by their ids, and none
 *		is left behind.
 *
 * Job 0 is in one ready queue, jobs 1 and 2 are in another one.  A claim takes the only
 * place of the group, reads "order_changes", looks for the first job, and takes it if it
 * is due and in its ready queue.  Else the queue is behind that job until the number is
 * another one, or until a job that may come first is added to the queue.
 *
 * Job 0 may be cancelled, and is if it is not due; job 1 becomes due in time.  A worker may end while it runs a
 * job; recovery frees that.  A job may fail, and is tried again.
 *
 * That a free job is in its ready queue, see ready_queue.pml.  A process waits here for
 * a queue that is ready; if there is none and jobs are left, spin finds the end invalid.
 *
 * Each mutant takes one precaution away, and must fail:
 * MUTANTS: NO_COMPARE READ_LATE NO_END_NOTICE NOTICE_BEFORE_COMMIT NO_CLAIM_NOTICE PASS_CLAIMED KEEP_BEHIND
 */
#define JOBS	3
#define NONE	JOBS

mtype = { FREE, LATER, CLAIMED, ENDED };

mtype row[JOBS] = FREE;
bool dead[JOBS];				/* the process that has the claim has ended */
#define HOME(j)	((j) > 0 -> 1 : 0)

bool place = false;				/* taken under the group's limit of 1 */
byte changes = 0;				/* LimitSlot.order_changes */
bool behind[2];					/* of the ready queues */
byte behind_changes[2];
byte behind_order[2];
byte claims[2];

byte running = 0;
byte failures = 0;
byte sessions = 3;				/* that may still do something */

#define MAY_FAIL	(failures < 2)
#define IS_BEHIND(q)	(behind[q] && behind_changes[q] == changes)
#define HAS_FREE(q)	((q) == 0 -> row[0] == FREE : (row[1] == FREE || row[2] == FREE))
#define READY(q)	(HAS_FREE(q) && !IS_BEHIND(q))
#define ALL_ENDED	(row[0] == ENDED && row[1] == ENDED && row[2] == ENDED)

/* ready_queue_add(), after the commit */
inline add(j)
{
	atomic {
#ifndef NO_CLAIM_NOTICE
		if
		:: claims[HOME(j)] > 0 -> changes++
		:: else
		fi;
#endif
#ifndef KEEP_BEHIND
		if
		:: behind[HOME(j)] && j <= behind_order[HOME(j)] -> behind[HOME(j)] = false
		:: else
		fi
#endif
	}
}

/* The job ends, and the others hear of it after the commit */
inline end(j)
{
#ifdef NOTICE_BEFORE_COMMIT
	atomic { changes++ };
	atomic { row[j] = ENDED }
#else
	atomic { row[j] = ENDED };
#ifndef NO_END_NOTICE
	atomic { changes++ }
#endif
#endif
}

proctype Worker()
{
	byte q, first, seen;
	bool taken;

	do
	:: atomic {					/* ready_queue_choose() */
			!place && (READY(0) || READY(1)) ->
			if
			:: READY(0) -> q = 0
			:: READY(1) -> q = 1
			fi;
			place = true;
			claims[q]++;
			seen = changes
		};
		atomic {				/* claim_in_order(), and its commit */
			first = 0;
			do
			:: first < JOBS && row[first] == ENDED -> first++
#ifdef PASS_CLAIMED
			:: first < JOBS && row[first] == CLAIMED -> first++
#endif
			:: else -> break
			od;
			taken = false;
			if
			:: first < JOBS && row[first] == FREE && HOME(first) == q ->
				row[first] = CLAIMED;
				dead[first] = false;
				taken = true
			:: else
			fi
		};
#ifdef READ_LATE
		atomic { seen = changes };
#endif
		atomic {				/* ready_queue_scan_end() */
			claims[q]--;
			behind[q] = !taken && first < JOBS;
#ifdef NO_COMPARE
			behind_changes[q] = changes;
#else
			behind_changes[q] = seen;
#endif
			behind_order[q] = first;
			if
			:: !taken -> place = false
			:: else
			fi
		};
		if
		:: taken ->
			atomic {
				running++;
				assert(running == 1);
				assert(first == 0 || row[0] == ENDED);
				assert(first < 2 || row[1] != CLAIMED)
			};
			if
			:: atomic { MAY_FAIL -> failures++; running--; dead[first] = true }
			:: atomic { MAY_FAIL -> failures++; running-- };
				atomic { row[first] = FREE };
				add(first)
			:: atomic { running-- };
				end(first)
			fi;
			atomic { place = false }
		:: else
		fi;
		atomic { first = 0; seen = 0; taken = false; q = 0 }
	:: atomic { sessions == 0 && ALL_ENDED -> break }
	od
}

/* defer.cancel() of the first job, or not */
proctype Cancel()
{
	if
	:: row[0] != LATER -> skip
	:: else ->
		end(0)
	:: atomic { row[0] == FREE -> row[0] = LATER };		/* its row is locked */
		end(0)
	fi;
	atomic { sessions-- }
}

/* defer.reschedule() of one that is not due, or its time comes */
proctype Due(byte j)
{
	atomic { row[j] == LATER -> row[j] = FREE };
	add(j);
	atomic { sessions-- }
}

/* The scheduler finalizes the claims of processes that have ended */
proctype Recovery()
{
	byte j;

	do
	:: atomic {
			(row[0] == CLAIMED && dead[0]) || (row[1] == CLAIMED && dead[1]) ||
			(row[2] == CLAIMED && dead[2]) ->
			j = 0;
			do
			:: row[j] == CLAIMED && dead[j] -> break
			:: else -> j++
			od;
			row[j] = FREE;
			dead[j] = false
		};
		add(j);
		j = 0
	:: atomic { sessions == 1 && ALL_ENDED -> sessions--; break }
	od
}

init
{
	atomic {
		if
		:: row[0] = LATER
		:: skip
		fi;
		row[1] = LATER;
		run Worker(); run Worker(); run Cancel(); run Due(1); run Recovery()
	}
}
