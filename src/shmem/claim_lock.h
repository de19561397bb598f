/*
 * claim_lock.h
 *		One process at a time claims jobs of a ready queue, or all would read the
 *		same rows from its minimum key on.
 *
 * It is a heavyweight lock, of the class of advisory locks but with a number
 * that SQL functions cannot take: so a wait can be interrupted, ends with
 * lock_timeout, is seen by the deadlock detector and stands in pg_locks
 * (locktype advisory, classid the role, objsubid CLAIM_LOCK_CLASS).  The end of
 * the transaction releases it, if nothing else has.
 */
#ifndef DEFER_CLAIM_LOCK_H
#define DEFER_CLAIM_LOCK_H

#include "postgres.h"

#include "shmem/ready_queue.h"

/* Advisory locks of SQL have 1 and 2 */
#define CLAIM_LOCK_CLASS	0xDEF

/*
 * Take and release the claim lock of a queue, in a transaction.  Taking it waits
 * for who holds it and throws what waiting for a lock does.
 */
extern void claim_lock_acquire(Oid database, const ReadyQueueChoice *queue);
extern void claim_lock_release(Oid database, const ReadyQueueChoice *queue);

#endif							/* DEFER_CLAIM_LOCK_H */
