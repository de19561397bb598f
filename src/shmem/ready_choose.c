/*
 * ready_choose.c
 *		Which queues of a bundle a claim takes jobs from, and how many of each; the first
 *		one was found by ready_claim.c.  The caller holds ready_lock.
 *
 * Parts of about 10 ms are taken of the group that was served least, one after the other,
 * until they are as many jobs as the claim may take.  So groups have their shares within
 * a batch, too.
 */
#include "postgres.h"

#include "base/limits_key.h"
#include "shmem/rates.h"
#include "shmem/ready_queue_slots.h"

/* The tag of a queue's account, as it will be when it is chosen */
double
ready_fair_tag(const ReadyQueue *slot)
{
	return Max(slot->account->virtual.finish, slot->bundle->floor);
}

/*
 * Take places under the limits of the queue's group, charge its account, and note that
 * it is in use.  "tokens": for jobs that may be claimed, if its limits have rates.
 */
static void
choose_queue(ReadyQueue *slot, int tokens, int max, TimestampTz now, ReadyQueueChoice *chosen)
{
	ready_queue_copy(slot, chosen);
	chosen->next = READY_KEY_NONE;
	chosen->taken = 0;
	chosen->pause_after = true;
	chosen->share = Min(fair_quantum(slot, max), tokens);
	chosen->planned = tokens == PG_INT32_MAX ? 0 : chosen->share;
	if (chosen->planned > 0)
		rates_plan(slot, chosen->planned);
	fair_choose(slot, chosen);
	limits_take(slot->groups, 1);
	slot->nclaims++;
	dlist_move_tail(&slot->bundle->queues, &slot->node);
	if (slot->retry_at != 0)
		slot->retry_at = now + READY_RETRY_DELAY;	/* one process is enough
													 * to try */
}

/*
 * Take more jobs, up to "max", of a queue that was chosen; returns how many.  "now_only": with
 * tokens that are there.
 */
static int
choose_more(ReadyQueue *slot, int max, bool now_only, ReadyQueueChoice *chosen)
{
	int64		more = Min(fair_quantum(slot, max), slot->ready - chosen->share);

	more = Min(Min(more, max), rates_room_of_queue(slot, now_only));
	if (more <= 0)
		return 0;
	chosen->share += more;
	if (chosen->planned > 0)
	{
		chosen->planned += more;
		rates_plan(slot, (int) more);
	}
	fair_choose_more(slot, chosen, (int) more);
	return (int) more;
}

/*
 * Returns which of the chosen queues, of those that are open for more, was served less than
 * "than", NULL: there is no other one; -1: none was
 */
static int
served_less(ReadyQueue *const *chosen, const bool *open, int n, const ReadyQueue *than)
{
	double		least = than != NULL && than->account != NULL ? ready_fair_tag(than) : 0;
	int			found = -1;

	for (int i = 0; i < n; i++)
	{
		double		tag = open[i] ? chosen[i]->account->virtual.finish : 0;

		if (!open[i] || (tag >= least && (than != NULL || found >= 0)))
			continue;
		least = tag;
		found = i;
	}
	return found;
}

/*
 * Choose the first queue of a bundle, and if it is one of a group others after it,
 * until they hold about "max" jobs.  Each next part is of the group that was served least,
 * which may be one that has some in the claim already.  What is set aside is READY all
 * the same.
 */
void
ready_choose(ReadyQueue *first, int max, TimestampTz now, int64 clock, ReadyClaim *claim,
			 TimestampTz *next_check)
{
	ReadyBundle *bundle = first->bundle;
	ReadyQueue *chosen[READY_CLAIM_MAX];
	bool		open[READY_CLAIM_MAX] = {false};
	ReadyQueue *slot = first;
	int64		jobs = 0;
	bool		single = LIMITS_KEY_IS_OUTSIDE(bundle->tag.kinds) ||
		(bundle->limits[0] != NULL && bundle->limits[0]->cancel);
	int			n = 0;

	limits_take(bundle->limits, 1);
	for (;;)
	{
		ReadyQueueChoice *choice = &claim->queues[n];
		int			more = served_less(chosen, open, n, slot);
		int			tokens;

		if (more >= 0)
		{
			const int	taken = choose_more(chosen[more], (int) (max - jobs), more > 0,
											&claim->queues[more]);

			open[more] = taken > 0;
			jobs += taken;
			if (jobs >= max)
				break;
			continue;
		}

		/* jobs of others do not wait in the batch for tokens of this one */
		if (slot == NULL || n == READY_CLAIM_MAX ||
			((tokens = rates_room_of_queue(slot, n > 0)) == 0 && n > 0))
			break;
		choose_queue(slot, Max(tokens, 1), max, now, choice);
		open[n] = slot->account != NULL;
		chosen[n++] = slot;
		jobs += Min(Max(slot->ready, 1), choice->share);
		if (slot->account != NULL)
			fair_ready(slot->account, true);
		if (single || jobs >= max)
			break;
		ready_displace(slot);	/* the next one is the first now */
		slot = ready_first(bundle, now, clock, next_check);
	}
	for (int i = 0; i < n; i++)
	{
		ready_place(chosen[i], now);
		if (chosen[i]->account != NULL)
			fair_ready(chosen[i]->account, false);
	}
	claim->nqueues = n;
}
