/*
 * alert_counter.h
 *		Counters of failures that alerts have events about: shmem/alert_counter.c.
 */
#ifndef DEFER_ALERT_COUNTER_H
#define DEFER_ALERT_COUNTER_H

#include "postgres.h"

extern Size alert_counters_shmem_size(void);
extern void alert_counters_shmem_init(void);

/* Count a failure; "hash" is that of its alert and function */
extern void alert_counter_add(uint32 hash);

/*
 * Return the count of an alert and a function.  Others of the same hash share it: it
 * may have changed although that function has not failed.  0 without shared memory.
 */
extern uint32 alert_counter_read(uint32 hash);

#endif							/* DEFER_ALERT_COUNTER_H */
