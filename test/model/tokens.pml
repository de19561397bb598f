/*
 * tokens.pml
 *		The jobs that claims have taken and that have no token yet (shmem/rates.c): no more
 *		are claimed than there are tokens, each is counted once, and all counts come back.
 *
 * A limit has TOKENS tokens, and none come meanwhile.  Two workers claim: "planned" from
 * the choice to the end of the claim, then "waiting" for each entry of the batch, which
 * ends with its token, when it is withdrawn, stolen, or when the batch ends.  A stolen
 * job is not counted with the worker that has taken it: it asks for a token as all do,
 * and goes back if there is none.  Each of the workers may fail or end at each step.
 *
 * "planned", "waiting" and "tokens" change under ready_lock, an entry and its mark under
 * the lock of the worker's slot, which is taken first: so each change is one step here.
 *
 * Each mutant takes one precaution away, and must fail:
 * MUTANTS: NO_PLAN KEEP_PLAN COUNT_WITHDRAWN KEEP_AT_EXIT TAKE_AND_COUNT COUNT_STOLEN
 */
#define JOBS	2
#define TOKENS	2

mtype = { NONE, WAITING, STARTED, STOLEN, WITHDRAWN };

short planned = 0;
short waiting = 0;
short tokens = TOKENS;
short begun = 0;

typedef Slot {
	mtype entry[JOBS];
	bool counted[JOBS];
};
Slot slot[2];

byte failures = 0;
#define MAY_FAIL	(failures < 1)
#define CHECK	assert(planned >= 0 && waiting >= 0 && tokens >= 0)

/* batch_entry_uncount(); the caller has the slot's lock */
inline uncount(w, e)
{
	if
	:: slot[w].counted[e] -> slot[w].counted[e] = false; waiting--
	:: else
	fi;
	CHECK
}

proctype Worker(byte me)
{
	byte j, n, taken;

	/* choose(): as many as have tokens that no claimed job waits for */
	atomic {
		if
		:: tokens - planned - waiting >= JOBS -> n = JOBS
		:: tokens - planned - waiting > 0 && tokens - planned - waiting < JOBS -> n = 1
		:: else -> n = 0
		fi;
#ifndef NO_PLAN
		planned = planned + n;
#endif
		/* what is claimed has a token, but for what was stolen and asked first */
		assert(planned + waiting <= TOKENS)
	};
	if
	:: n == 0 -> goto end
	:: else
	fi;
	if
	:: atomic { MAY_FAIL -> failures++;		/* ready_queue_scan_abort() */
#ifndef KEEP_PLAN
			planned = planned - n;
#endif
			CHECK };
		goto end
	:: taken = n
	:: taken = 0							/* another claim was quicker */
	fi;
	/* published: entries may be withdrawn before the claim is committed */
	atomic {
		for (j : 0 .. JOBS - 1) {
			if
			:: j < taken -> slot[me].entry[j] = WAITING
			:: else
			fi
		};
		j = 0
	};
	/* ready_queue_scan_end() */
	atomic {
#ifndef NO_PLAN
		planned = planned - n;
#endif
		waiting = waiting + taken;
#ifdef NO_PLAN
		assert(waiting <= TOKENS);
#endif
		CHECK
	};
	/* take_over_places() */
	atomic {
		for (j : 0 .. JOBS - 1) {
			if
			:: j < taken ->
				slot[me].counted[j] = true;
				if
				:: slot[me].entry[j] != WAITING -> uncount(me, j)
				:: else
				fi
			:: else
			fi
		};
		j = 0
	};
	for (j : 0 .. JOBS - 1) {
		if
		:: atomic { MAY_FAIL -> failures++ }; goto gone
		:: skip
		fi;
		atomic {							/* batch_take_token() */
			if
			:: slot[me].entry[j] == WAITING && tokens > 0 ->
				tokens--;
#ifdef TAKE_AND_COUNT
				waiting--;
#else
				uncount(me, j);
#endif
				CHECK
			:: else
			fi
		};
		atomic {							/* batch_start_job() or batch_leave_job() */
			if
			:: slot[me].entry[j] == WAITING ->
				slot[me].entry[j] = STARTED;
				uncount(me, j);
				begun++
			:: else
			fi
		}
	};
gone:
	atomic {								/* batch_release_limits() */
		for (j : 0 .. JOBS - 1) {
#ifndef KEEP_AT_EXIT
			uncount(me, j);
#endif
			slot[me].entry[j] = NONE;
			slot[me].counted[j] = false
		};
		j = 0
	};
end:
	atomic { n = 0; taken = 0; j = 0 }
}

/* Another worker takes a job out of a batch, and may have to put it back */
proctype Thief(byte from)
{
	bool stolen;

	atomic {								/* mark_entry() */
		if
		:: slot[from].entry[JOBS - 1] == WAITING ->
			slot[from].entry[JOBS - 1] = STOLEN;
			stolen = true;
#ifndef COUNT_STOLEN
			uncount(from, JOBS - 1)
#endif
		:: else
		fi
	};
	if
	:: stolen -> atomic {					/* unmark(): it is not counted again */
			if
			:: slot[from].entry[JOBS - 1] == STOLEN ->
				slot[from].entry[JOBS - 1] = WAITING;
#ifdef COUNT_STOLEN
				waiting--;
				CHECK
#endif
			:: else
			fi
		}
	:: stolen -> atomic {					/* its own batch: a token, or back it goes */
			if
			:: tokens > 0 -> tokens--
			:: else
			fi
		}
	:: else
	fi
}

/* batch_withdraw(): of defer.cancel() and the like */
proctype Session(byte from)
{
	atomic {
		if
		:: slot[from].entry[0] == WAITING ->
			slot[from].entry[0] = WITHDRAWN;
#ifdef COUNT_WITHDRAWN
			slot[from].counted[0] = false
#else
			uncount(from, 0)
#endif
		:: else
		fi
	}
}

init
{
	atomic {
		run Worker(0); run Worker(1); run Thief(0); run Session(0)
	};
	(_nr_pr == 1);
	assert(planned == 0 && waiting == 0)
}
