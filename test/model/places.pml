/*
 * places.pml
 *		The places under the limit of a group: a job runs with one, no more are
 *		taken than there are, and all come back.
 *
 * A worker (the source) has a batch of JOBS jobs of one group, for which its claim
 * has taken a place that the batch gets with the commit.  It runs one after the
 * other, and gives the place back when no entry waits or runs any more.  Another
 * worker (the thief) takes over entries: with the place, if they are the last ones
 * of the batch, else with one more.  A session withdraws an entry.  Each of the
 * workers may fail or end at each step.
 *
 * Entries, "left" and "holds" of a slot change under its lock, "running" under
 * ready_lock, which is taken under the slot's: so each change is one step here.
 *
 * A crash of the server empties shared memory: no job runs, no place is taken.
 *
 * Each mutant takes one precaution away, and must fail:
 * MUTANTS: STEAL_WITHOUT_PLACE GIVE_BACK_BOTH COUNT_BEFORE_COMMIT KEEP_AT_EXIT KEEP_AT_COMMIT KEEP_PLACE_TAKEN
 */
#define JOBS	2
#define LIMIT	2

mtype = { NONE, WAITING, STARTED, STOLEN, WITHDRAWN };

short running = 1;				/* places that are taken: that of the claim */
byte running_jobs = 0;		/* jobs that run */

/* the source's slot, as its claim has published it */
mtype entry[JOBS] = WAITING;
bool batch = true;				/* it has that claim */
bool committed = false;
bool holds = false;
short left = 0;

/* the thief's */
mtype taken[JOBS] = NONE;
bool thief_holds = false;
short thief_left = 0;

byte failures = 0;
#define MAY_FAIL	(failures < 1)
#define CHECK	assert(running >= 0 && running <= LIMIT && left >= 0 && thief_left >= 0)

inline run_job()
{
	atomic { running_jobs++; assert(running_jobs <= running) };
	running_jobs--
}

proctype Source()
{
	byte j;
	bool ours;

	/* the claim: new_batch_abort() and ready_queue_scan_abort(), or the commit */
	if
	:: atomic { MAY_FAIL -> failures++ };
		if
		:: atomic { running--; CHECK }; atomic { batch = false; entry[0] = NONE; entry[1] = NONE }
		:: atomic { batch = false; entry[0] = NONE; entry[1] = NONE }; atomic { running--; CHECK }
		fi;
		goto end
	:: committed = true
	fi;
	atomic {					/* take_over_places() */
		holds = true;
		for (j : 0 .. JOBS - 1) {
			if
			:: entry[j] == WAITING -> left++
			:: else
			fi
		}
#ifndef KEEP_AT_COMMIT
		if
		:: left == 0 -> running--
		:: else
		fi;
#endif
		j = 0; CHECK
	};
	for (j : 0 .. JOBS - 1) {
		if
		:: atomic { MAY_FAIL -> failures++ }; goto gone
		:: skip
		fi;
		atomic {				/* batch_start_job() */
			ours = false;
			if
			:: entry[j] == WAITING -> entry[j] = STARTED; ours = true
			:: else
			fi
		};
		if
		:: ours ->
			run_job();
			atomic {			/* batch_end_job() */
				left--;
				if
				:: left == 0 -> running--
				:: else
				fi;
				CHECK
			}
		:: else
		fi
	}
gone:
	atomic {					/* batch_release_limits() */
		holds = false;
#ifndef KEEP_AT_EXIT
		if
		:: left > 0 -> running--; left = 0
		:: else
		fi;
#endif
		CHECK
	};
	atomic { batch = false; entry[0] = NONE; entry[1] = NONE };
end:
	skip
}

proctype Thief()
{
	byte j, n;
	bool marked[JOBS];
	bool held;

	atomic {					/* steal_mark_waiting(), take_place() */
		if
		:: batch ->
			/* the last, or both of them */
			if
			:: entry[1] == WAITING -> marked[1] = true; n++
			:: skip
			fi;
			if
			:: entry[0] == WAITING -> marked[0] = true; n++
			:: skip
			fi
		:: else
		fi;
		if
		:: n > 0 ->
#ifdef STEAL_WITHOUT_PLACE
			held = true;
			if
			:: holds -> left = left - n
			:: else
			fi
#else
			if
			:: holds && left == n ->
				held = true;
#ifndef KEEP_PLACE_TAKEN
				left = 0
#endif
			:: holds && left != n && running < LIMIT -> held = true; running++; left = left - n
			:: !holds && running < LIMIT -> held = true; running++
			:: else
			fi
#endif
		:: else
		fi;
		for (j : 0 .. JOBS - 1) {
			if
			:: marked[j] && held -> entry[j] = STOLEN
			:: else -> marked[j] = false
			fi
		}
		j = 0; CHECK
	};
	if
	:: !held -> goto end
	:: else
	fi;

	/* rows of a claim that is not committed yet cannot be had */
	if
	:: atomic { MAY_FAIL -> failures++ }; goto give_back
	:: atomic {
			for (j : 0 .. JOBS - 1) {
				if
				:: marked[j] && committed && entry[j] == STOLEN -> taken[j] = WAITING
				:: else
				fi
			}
			j = 0
		}
	fi;
	if
	:: atomic { MAY_FAIL -> failures++ };
		atomic { taken[0] = NONE; taken[1] = NONE };
		goto give_back
	:: skip
	fi;
	/* the commit: pass_on_places(), take_over_places() */
	atomic {
		if
		:: taken[0] == NONE && taken[1] == NONE -> running--
		:: else ->
			thief_holds = true;
			for (j : 0 .. JOBS - 1) {
				if
				:: taken[j] == WAITING -> thief_left++
				:: else
				fi
			}
			if
			:: thief_left == 0 -> running--
			:: else
			fi
		fi;
		held = false; j = 0; CHECK
	};
	for (j : 0 .. JOBS - 1) {
		atomic {
			if
			:: taken[j] == WAITING -> taken[j] = STARTED; marked[j] = true
			:: else -> marked[j] = false
			fi
		};
		if
		:: marked[j] ->
			run_job();
			atomic {
				thief_left--;
				if
				:: thief_left == 0 -> running--
				:: else
				fi;
				CHECK
			}
		:: else
		fi
	}
	goto end;

give_back:
	atomic {
		if
		:: batch ->
			for (j : 0 .. JOBS - 1) {
				if
				:: marked[j] && entry[j] == STOLEN ->
					entry[j] = WAITING;
					if
					:: holds && left == 0 ->
#ifndef GIVE_BACK_BOTH
						held = false;
#endif
						left++
					:: holds && left > 0 -> left++
					:: else
					fi
				:: else
				fi
			}
		:: else
		fi;
		j = 0
	};
	atomic {					/* release_places() */
		if
		:: held -> running--
		:: else
		fi;
		CHECK
	};
end:
	atomic { thief_holds = false; j = 0; n = 0; held = false }
}

/* batch_withdraw(): of defer.cancel() and the like */
proctype Session(byte key)
{
	atomic {
		if
		:: entry[key] == WAITING ->
			entry[key] = WITHDRAWN;
			if
#ifdef COUNT_BEFORE_COMMIT
			:: left--;
				if
				:: left <= 0 -> running--
				:: else
				fi
#else
			:: holds ->
				left--;
				if
				:: left == 0 -> running--
				:: else
				fi
			:: else
#endif
			fi
		:: entry[key] == STOLEN -> entry[key] = WITHDRAWN
		:: else
		fi;
		CHECK
	};
	atomic {
		if
		:: taken[key] == WAITING ->
			taken[key] = WITHDRAWN;
			if
			:: thief_holds ->
				thief_left--;
				if
				:: thief_left == 0 -> running--
				:: else
				fi
			:: else
			fi
		:: else
		fi;
		CHECK
	}
}

init
{
	atomic { run Source(); run Thief(); run Session(0); run Session(1) };
	(_nr_pr == 1);
	assert(running == 0 && left == 0 && thief_left == 0)
}
