/*
 * flow_statics.c
 *		The files whose static variables a process has for itself: see flow.h.
 */
#include "flow.h"

#include "shmem/ready_claim.c"
#include "job/batch_entries.c"

#include "job/steal.c"
#include "job/steal_marks.c"

Batch		batch;

struct Statics
{
	bool		has_current;
	bool		published;
	int			started;
	WorkerSlot *worker;
	ReadyClaim	current;
	Batch		batch;
	char		steal[sizeof(steal)];
};

struct Statics *
statics_clear(struct Statics *statics)
{
	memset(statics, 0, sizeof(struct Statics));
	statics->started = -1;
	return statics;
}

struct Statics *
statics_new(void)
{
	return statics_clear(malloc(sizeof(struct Statics)));
}

void
statics_save(struct Statics *statics)
{
	statics->has_current = has_current;
	statics->published = published;
	statics->started = started;
	statics->worker = my_worker;
	memcpy(&statics->current, &current,
		   offsetof(ReadyClaim, queues) + current.nqueues * sizeof(ReadyQueueChoice));
	statics->current.next_token = current.next_token;
	memcpy(&statics->batch, &batch, offsetof(Batch, jobs) + batch.njobs * sizeof(BatchJob));
	memcpy(statics->steal, &steal, sizeof(steal));
}

void
statics_restore(const struct Statics *statics)
{
	has_current = statics->has_current;
	published = statics->published;
	started = statics->started;
	my_worker = statics->worker;
	memcpy(&current, &statics->current,
		   offsetof(ReadyClaim, queues) + statics->current.nqueues * sizeof(ReadyQueueChoice));
	current.next_token = statics->current.next_token;
	memcpy(&batch, &statics->batch,
		   offsetof(Batch, jobs) + statics->batch.njobs * sizeof(BatchJob));
	memcpy(&steal, statics->steal, sizeof(steal));
}

BatchWithdraw
statics_withdraw(int64 job_id)
{
	return batch_withdraw(job_id);
}
