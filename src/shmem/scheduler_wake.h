/*
 * scheduler_wake.h
 *		Waking the scheduler of a database, if it has one: shmem/databases.c.
 */
#ifndef DEFER_SCHEDULER_WAKE_H
#define DEFER_SCHEDULER_WAKE_H

#include "postgres.h"

#include "datatype/timestamp.h"

struct DatabaseSlot;

/* The first with workers_lock held */
extern void database_wake_scheduler_locked(struct DatabaseSlot *slot);
extern void database_wake_scheduler(Oid database);
extern void databases_wake_schedulers(void);	/* all of them */

/* A lease of the database may be over then; or a claim of tasks was left without jobs */
extern void database_lease_ends(Oid database, TimestampTz at);
extern void database_claim_left(Oid database);

/* Have it look, after so many microseconds, for jobs of tasks that could be taken */
extern void database_check_work(Oid database, int64 delay);

#endif							/* DEFER_SCHEDULER_WAKE_H */
