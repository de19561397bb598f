/*
 * claim_lock.c
 *		The lock under which jobs of a ready queue are claimed: see claim_lock.h.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "storage/lock.h"

#include "shmem/claim_lock.h"

/* Two queues of a role that share a hash take turns, which does no harm */
static void
claim_lock_tag(LOCKTAG *tag, Oid database, const ReadyQueueChoice *queue)
{
	uint32		hash = hash_combine(murmurhash32((uint32) queue->priority),
									hash_bytes((const unsigned char *) &queue->limits_key,
											   sizeof(queue->limits_key)));

	SET_LOCKTAG_ADVISORY(*tag, database, queue->owner, hash, CLAIM_LOCK_CLASS);
}

void
claim_lock_acquire(Oid database, const ReadyQueueChoice *queue)
{
	LOCKTAG		tag;

	claim_lock_tag(&tag, database, queue);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

void
claim_lock_release(Oid database, const ReadyQueueChoice *queue)
{
	LOCKTAG		tag;

	claim_lock_tag(&tag, database, queue);
	(void) LockRelease(&tag, ExclusiveLock, false);
}
