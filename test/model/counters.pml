/*
 * counters.pml
 *		Counters of open dependencies: who ends a job, or looks whether its batch is
 *		counted, finds each that is visible to it.
 *
 * Two transactions open a dependency each, in one cell.  Each counts it as opening, looks
 * itself, commits, counts it as open, and then takes it off those that are opening.
 * Another transaction closes the first one.  The scheduler counts anew, twice: what it
 * sees in a snapshot.  Readers look at any time, without a lock.
 *
 * Each mutant must fail:
 * MUTANTS: NO_OPENING OPENING_OFF_FIRST COUNTER_FIRST CLOSE_OTHERS LOADED_AT_ONCE RESET_OPENING VERSION_ONCE VERSION_KEPT
 */

#define OTHERS	5				/* a counter cannot be below 0: it is so much too large */

bool visible[2];				/* the row is committed, and open */
bool closed = false;			/* the first one */
byte opening = 0;
byte counter = OTHERS;
bool loaded = false;
bool locked = false;			/* dependents_lock */
byte generation = 0;
byte version = 0;				/* grows before the counter gets smaller */

/* Sets "found": the table is looked at */
inline look()
{
	read_in = version;
	if
	:: !loaded -> found = true
	:: else ->
#ifdef COUNTER_FIRST
		found = counter != OTHERS;
		found = found || opening > 0;
#else
		found = opening > 0;
		found = found || counter != OTHERS;
#endif
#ifndef VERSION_ONCE
		found = found || version != read_in
#endif
	fi
}

proctype Opener(byte i)
{
	bool found;
	byte read_in;
	byte counted_in = generation;

#ifdef NO_OPENING
	d_step { counted_in = generation; counter++ };
#else
	opening++;
#endif
	look();
	assert(found);				/* its own */
	visible[i] = true;
#ifdef NO_OPENING
	d_step { if :: counted_in != generation -> counter++ :: else fi }
#else
	atomic { !locked -> locked = true };
#ifdef OPENING_OFF_FIRST
	opening--;
#endif
	counter++;
#ifndef OPENING_OFF_FIRST
	opening--;
#endif
	locked = false
#endif
}

proctype Closer()
{
	bool counts;
	byte closed_in;

	visible[0];
	d_step { counts = loaded; closed_in = generation };
	d_step { visible[0] = false; closed = true };
	/* under the lock: the generation does not change meanwhile */
	atomic { !locked -> locked = true };
	if
#ifdef CLOSE_OTHERS
	:: counts ->
#else
	:: counts && closed_in == generation ->
#endif
#ifndef VERSION_KEPT
		version++;
#endif
		counter--
	:: else
	fi;
	locked = false
}

proctype Reader()
{
	bool found;
	byte read_in;

	visible[1];
	look();
	assert(found)
}

proctype Scheduler()
{
	byte turn;
	byte seen;

	for (turn : 1 .. 2) {
		atomic { !locked -> locked = true };
		loaded = false;
		generation++;
		version++;
		counter = OTHERS;
#ifdef RESET_OPENING
		opening = 0;
#endif
		locked = false;
#ifdef LOADED_AT_ONCE
		loaded = true;
#endif
		d_step { seen = 0; if :: visible[0] -> seen++ :: else fi; if :: visible[1] -> seen++ :: else fi };
		counter = counter + seen;
		loaded = true
	}
}

init
{
	atomic {
		run Opener(0);
		run Opener(1);
		run Closer();
		run Reader();
		run Scheduler()
	}
}
