/*
 * scheduled_set.h
 *		The functions that have schedules: a Bloom filter for each database, so
 *		that a look-up of any other function costs next to nothing (see
 *		function/direct_call_check.c).  It grows with each schedule, and the
 *		scheduler replaces it once a day by what there is.
 */
#ifndef DEFER_SCHEDULED_SET_H
#define DEFER_SCHEDULED_SET_H

#include "postgres.h"

#define SCHEDULED_SET_WORDS	256

/* Two bits a function; set under workers_lock, read without */
typedef struct ScheduledSet
{
	uint64		words[SCHEDULED_SET_WORDS];
	uint64		version;		/* number of additions */
} ScheduledSet;

/* Add a function of the database; without effect if that is not served */
extern void scheduled_set_add(Oid database, Oid function);

/*
 * Replace the set of this process' database by these functions.  "version" is
 * what scheduled_set_version() returned before they were read from the table;
 * false, and nothing is done, if a function has been added since.
 */
extern uint64 scheduled_set_version(void);
extern bool scheduled_set_replace(const Oid *functions, int n, uint64 version);

/*
 * Check whether the function could have a schedule in this process' database.
 * Without a lock: a bit that is being set belongs to a transaction that has
 * not returned yet.
 */
extern bool scheduled_set_may_have(Oid function);

#endif							/* DEFER_SCHEDULED_SET_H */
