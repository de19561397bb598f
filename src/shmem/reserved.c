/*
 * reserved.c
 *		Workers that are kept for queues: see reserved.h.  All is under ready_lock.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "base/guc.h"
#include "shmem/ready_queue_slots.h"
#include "shmem/reserved.h"

typedef struct ReservedState
{
	int			n;
	bool		denied;			/* a job was not begun since workers were
								 * freed */
	ReservedQueue queues[RESERVED_MAX];
} ReservedState;

static ReservedState *state = NULL;

Size
reserved_shmem_size(void)
{
	return MAXALIGN(sizeof(ReservedState));
}

void
reserved_shmem_init(void)
{
	bool		found;

	state = ShmemInitStruct("defer reserved workers", sizeof(ReservedState), &found);
	if (!found)
		memset(state, 0, sizeof(ReservedState));
}

void
reserved_load(Oid database, const ReservedQueue *queues, int n)
{
	int			kept = 0;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	for (int i = 0; i < state->n; i++)
	{
		if (state->queues[i].database != database)
			state->queues[kept++] = state->queues[i];
	}
	for (int i = 0; i < n && kept < RESERVED_MAX; i++)
		state->queues[kept++] = queues[i];
	state->n = kept;
	LWLockRelease(shared->ready_lock);
}

/* How many of the workers that entry i wants it has; *left: of defer.max_workers */
static int
grant(int i, int *left)
{
	int			granted = Min(state->queues[i].reserved, Max(*left, 0));

	*left -= granted;
	return granted;
}

int
reserved_granted(Oid database, int32 queue_id)
{
	int			left = defer_max_workers - 1;
	int			granted = 0;

	if (shared == NULL)
		return 0;
	LWLockAcquire(shared->ready_lock, LW_SHARED);
	for (int i = 0; i < state->n; i++)
	{
		int			of_queue = grant(i, &left);

		if (state->queues[i].database == database && state->queues[i].queue_id == queue_id)
			granted = of_queue;
	}
	LWLockRelease(shared->ready_lock);
	return granted;
}

static bool
is_at_work(const WorkerSlot *slot)
{
	return slot->works && slot->state != WORKER_FREE && !slot->awaiting;
}

static int
count_at(const ReservedQueue *queue)
{
	int			n = 0;

	for (int i = 0; i < shared->nworker_slots; i++)
	{
		const WorkerSlot *slot = &worker_slots[i];

		if (is_at_work(slot) && slot->works_in == queue->queue_id &&
			slot->database == queue->database)
			n++;
	}
	return n;
}

void
reserved_view(Oid database, Oid owner, ReservedView *view)
{
	int			left = defer_max_workers - 1;
	int			kept = 0;
	int			busy = 0;
	bool		role = false;

	view->any = true;
	view->nopen = 0;
	if (state->n == 0)
		return;
	for (int i = 0; i < state->n; i++)
	{
		const ReservedQueue *queue = &state->queues[i];
		int			free = grant(i, &left) - count_at(queue);

		if (free <= 0)
			continue;
		kept += free;
		if (queue->database == database)
			view->open[view->nopen++] = queue->queue_id;
	}
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		const WorkerSlot *slot = &worker_slots[i];

		if (!is_at_work(slot))
			continue;
		busy++;
		role = role || (slot->database == database && slot->owner == owner);
	}
	view->any = defer_max_workers - busy > kept ||
		(!role && defer_max_workers + shared->extra_workers - busy > kept);
	if (!view->any)
		state->denied = true;
}

bool
reserved_allows(const ReservedView *view, int32 queue_id)
{
	if (view->any)
		return true;
	for (int i = 0; i < view->nopen; i++)
	{
		if (view->open[i] == queue_id)
			return true;
	}
	return false;
}

bool
reserved_may_begin(Oid owner, int32 queue_id)
{
	ReservedView view;

	LWLockAcquire(shared->ready_lock, LW_SHARED);
	reserved_view(MyDatabaseId, owner, &view);
	LWLockRelease(shared->ready_lock);
	return reserved_allows(&view, queue_id);
}

void
reserved_enter(int32 queue_id)
{
	if (my_worker == NULL)
		return;					/* the scheduler ends jobs that no worker may
								 * run */
	my_worker->works = true;
	my_worker->works_in = queue_id;
}

bool
reserved_try_enter(int32 queue_id)
{
	ReservedView view;
	bool		allowed;

	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	reserved_view(MyDatabaseId, my_worker->owner, &view);
	allowed = reserved_allows(&view, queue_id);
	if (allowed)
		reserved_enter(queue_id);
	LWLockRelease(shared->ready_lock);
	return allowed;
}

bool
reserved_leave(void)
{
	bool		denied = false;

	if (my_worker == NULL || !my_worker->works)
		return false;
	if (state->n == 0)
	{
		my_worker->works = false;
		return false;
	}
	LWLockAcquire(shared->ready_lock, LW_EXCLUSIVE);
	my_worker->works = false;
	denied = state->denied;
	state->denied = false;
	LWLockRelease(shared->ready_lock);
	return denied;
}
