/*
 * fair.pml
 *		What is charged to the account of a group: each charge is held once and corrected
 *		once, so that in the end the account was charged what was used, and nothing is held.
 *
 * A claim charges 2 for JOBS jobs of a group.  Its batch holds that until the first job
 * begins; then the worker's run holds it, and is charged on by a claim of another worker.
 * The run ends with the last job of the group.  Another worker (the thief) may take over
 * jobs, and a session withdraw some.  The claim and each of the workers may fail or end at
 * each step; a database may be closed, which takes the account away.
 *
 * Charges and runs change under ready_lock, entries under the slot's lock, which is held
 * over both: so each change is one step here.  A job uses 1 or 3.
 *
 * Each mutant takes one precaution away, and must fail:
 * MUTANTS: NO_REFUND_AT_ABORT NO_REFUND_OF_UNBEGUN KEEP_RUN_AT_EXIT REFUND_BEGUN TRUST_POINTER FORGET_CHARGED_ON
 */
#define JOBS	2

mtype = { NONE, WAITING, STARTED, GONE };

/* the account */
bool there = true;
short finish = 0;
short ncharges = 0;
short used = 0;				/* what jobs have really taken */

/* the batch of the source */
mtype entry[JOBS] = NONE;
bool held = false;				/* the group's charge, not begun */
short amount = 0;
bool holds = false;				/* the batch is committed */
short left = 0;

/* runs: of the source and of the thief */
bool runs[2] = false;
short charged[2] = 0;
short took[2] = 0;

byte failures = 0;
byte withdrawals = 0;
byte ended = 0;
#define MAY_FAIL	(failures < 1)

/* ready_queues_forget(): runs are told, charges find nothing */
inline forget()
{
	there = false; finish = 0; ncharges = 0;
#ifndef TRUST_POINTER
	runs[0] = false; runs[1] = false
#endif
}

inline settle(was, is)
{
	if
	:: there && ncharges > 0 -> finish = finish + is - was; ncharges--
	:: else
	fi
}

/* fair_run_end() */
inline run_end(w)
{
	if
	:: runs[w] ->
		runs[w] = false;
		assert(there);			/* the run points at it */
		used = used + took[w];
		settle(charged[w], took[w])
	:: else
	fi
}

inline group_end()
{
	run_end(0);
	if
#ifndef NO_REFUND_OF_UNBEGUN
	:: held -> settle(amount, 0); held = false
#endif
	:: else
	fi
}

/* fair_run_job() */
inline run_begin(w, holding)
{
	if
	:: runs[w]
	:: else ->
		took[w] = 0;
		if
		:: holding ->
			if
			:: there && ncharges > 0 -> runs[w] = true; charged[w] = amount
			:: else
			fi;
#ifndef REFUND_BEGUN
			held = false
#endif
		:: else ->
			if
			:: there -> runs[w] = true; charged[w] = 0; ncharges++
			:: else
			fi
		fi
	fi
}

inline leave(j)
{
	left--;
	if
	:: left == 0 -> group_end()
	:: else
	fi
}

proctype Source()
{
	byte j;
	bool ours;

	atomic {					/* fair_choose(); expected: 3 */
		if
		:: there -> finish = finish + 3; ncharges++; held = true; amount = 3
		:: else
		fi
	};
	if
	:: atomic { MAY_FAIL -> failures++;
#ifndef NO_REFUND_AT_ABORT
		if
		:: held -> settle(amount, 0)
		:: else
		fi;
#endif
		held = false };
		goto end
	:: atomic {					/* published, committed; fair_chosen() */
		if
		:: held && there && ncharges > 0 -> finish = finish - amount + 2; amount = 2
		:: else -> held = false
		fi;
		entry[0] = WAITING; entry[1] = WAITING; holds = true; left = JOBS; j = 0 }
	fi;
	for (j : 0 .. JOBS - 1) {
		if
		:: atomic { MAY_FAIL -> failures++ }; goto gone
		:: skip
		fi;
		atomic {
			ours = false;
			if
			:: entry[j] == WAITING -> entry[j] = STARTED; ours = true; run_begin(0, held)
			:: else
			fi
		};
		if
		:: ours ->
			if
			:: atomic { runs[0] -> took[0] = took[0] + 1 }
			:: atomic { runs[0] -> took[0] = took[0] + 3 }
			:: !runs[0]
			fi;
			if
			:: atomic { MAY_FAIL -> failures++ }; goto gone
			:: atomic { leave(j) }
			fi
		:: else
		fi
	}
gone:
	atomic {					/* batch_release_limits() */
		holds = false;
#ifndef KEEP_RUN_AT_EXIT
		group_end();
#endif
		entry[0] = NONE; entry[1] = NONE
	};
end:
	atomic { ended++ }
}

/* Takes a job that waits, and runs it in a batch of its own */
proctype Thief()
{
	bool ours = false;

	atomic {
		if
		:: holds && entry[1] == WAITING -> entry[1] = GONE; ours = true; leave(1)
		:: skip
		fi
	};
	if
	:: ours ->
		atomic { run_begin(1, false) };
		if
		:: atomic { runs[1] -> took[1] = took[1] + 1 }
		:: atomic { runs[1] -> took[1] = took[1] + 3 }
		:: !runs[1]
		:: MAY_FAIL
		fi;
		atomic { run_end(1) }
	:: else
	fi;
	atomic { ended++ }
}

/* cancel or reschedule */
proctype Session()
{
	byte j;

	for (j : 0 .. JOBS - 1) {
		atomic {
			if
			:: holds && entry[j] == WAITING -> entry[j] = GONE; leave(j)
			:: skip
			fi
		}
	};
	atomic { ended++ }
}

/* A claim of another worker: fair_charge_on() */
proctype Chooser()
{
	byte w;

	for (w : 0 .. 1) {
		atomic {
			if
			:: runs[w] && there && took[w] > charged[w] ->
				finish = finish + took[w] - charged[w];
#ifndef FORGET_CHARGED_ON
				charged[w] = took[w]
#endif
			:: else
			fi
		}
	};
	atomic { ended++ }
}

init
{
	bool forgotten = false;

	atomic { run Source(); run Thief(); run Session(); run Chooser() };
	if
	:: skip
	:: atomic { forget(); forgotten = true }
	fi;
	ended == 4;
	assert(!held && !runs[0] && !runs[1]);
	assert(ncharges == 0);
	assert(forgotten || finish == used)
}
