/*
 * limits_load.h
 *		Reading concurrency limits into shared memory (see shmem/limits.h).
 */
#ifndef DEFER_LIMITS_LOAD_H
#define DEFER_LIMITS_LOAD_H

/*
 * Read the limits of this database that shared memory wants to know, in
 * transactions of its own; for the scheduler.
 */
extern void limits_load(void);

#endif							/* DEFER_LIMITS_LOAD_H */
