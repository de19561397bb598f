/*
 * limits_load.h
 *		Reading limits into shared memory, and writing down what counts under them after a
 *		crash: see shmem/limits.h.
 */
#ifndef DEFER_LIMITS_LOAD_H
#define DEFER_LIMITS_LOAD_H

#include "shmem/limits.h"

/*
 * Read the limits of this database that shared memory wants to know, in
 * transactions of its own; for the scheduler.  False: some are left, as a moment is over.
 */
extern bool limits_load(void);

/*
 * Write tokens of long rates down, flushed, in a transaction of its own.  False: that has
 * failed, and is reported.
 */
extern bool limits_write_used(const RateUsed *used, int n);

/* The same in the caller's transaction, which it has to flush; errors are raised */
extern void limits_write_used_here(const RateUsed *used, int n);

/* Remove what counts as used no longer; in a transaction */
extern void limits_purge_used(void);

/* Read which queues have reserved workers; in a transaction */
extern void reserved_load_all(void);

#endif							/* DEFER_LIMITS_LOAD_H */
