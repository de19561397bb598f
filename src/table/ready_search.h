/*
 * ready_search.h
 *		Finding the ready queues that have no slot in shared memory (see
 *		shmem/ready_queue.h); for the scheduler.
 */
#ifndef DEFER_READY_SEARCH_H
#define DEFER_READY_SEARCH_H

#include "postgres.h"

#include "datatype/timestamp.h"

struct Job;

/*
 * Tell shared memory of the queues of all roles, in the caller's transaction;
 * set_scopes() is settings_set_scopes()
 */
extern void ready_search_all(TimestampTz now, void (*set_scopes) (struct Job *job));

/*
 * Search on for queues with due jobs, of the roles that have some without a
 * slot, a bounded number of them, in a transaction of its own.  Returns when to
 * call again, DT_NOEND: when told.
 */
extern TimestampTz ready_search(TimestampTz now, void (*set_scopes) (struct Job *job));

#endif							/* DEFER_READY_SEARCH_H */
