/*
 * rollup_list.c
 *		Counting many jobs, of any owners, whose ends are written one after the other.
 *
 * The end of a job may end others, which are counted in between, so rollup_collect()
 * cannot be called for each: the jobs are noted, and counted at the end.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "table/rollup.h"

typedef struct ListedJob
{
	Job			job;			/* texts: function and queue only, copied */
	char		state;
	TimestampTz started_at;
	TimestampTz finished_at;
} ListedJob;

struct RollupList
{
	MemoryContext context;
	int			n;
	int			most;			/* there is room for */
	ListedJob  *jobs;
};

RollupList *
rollup_list_make(int most)
{
	RollupList *list = palloc0(sizeof(RollupList));

	list->context = CurrentMemoryContext;
	list->most = most;
	list->jobs = palloc(Max(most, 1) * sizeof(ListedJob));
	return list;
}

/* Returns a copy; "before" if that has the same text, as it has of most jobs */
static text *
copy_text(RollupList *list, const text *original, text *before)
{
	const Size	size = VARSIZE_ANY(original);

	if (before != NULL && VARSIZE_ANY(before) == size && memcmp(before, original, size) == 0)
		return before;
	return memcpy(MemoryContextAlloc(list->context, size), original, size);
}

void
rollup_list_add(RollupList *list, const Job *job, char state, TimestampTz started_at,
				TimestampTz finished_at)
{
	const Job  *before = list->n > 0 ? &list->jobs[list->n - 1].job : NULL;
	ListedJob  *listed = &list->jobs[list->n];

	Assert(list->n < list->most);
	listed->job = *job;
	listed->job.function = copy_text(list, job->function, before == NULL ? NULL : before->function);
	listed->job.queue = copy_text(list, job->queue, before == NULL ? NULL : before->queue);
	listed->job.args = listed->job.metadata = listed->job.options = NULL;
	listed->job.key = listed->job.group_key = listed->job.sqlstate = listed->job.error = NULL;
	listed->job.token = NULL;
	listed->state = state;
	listed->started_at = started_at;
	listed->finished_at = finished_at;
	list->n++;
}

void
rollup_list_write(RollupList *list)
{
	int			end;

	for (int begin = 0; begin < list->n; begin = end)
	{
		const Oid	owner = list->jobs[begin].job.owner;

		for (end = begin + 1; end < list->n && list->jobs[end].job.owner == owner; end++)
			;
		rollup_begin(end - begin);
		for (int i = begin; i < end; i++)
		{
			const ListedJob *listed = &list->jobs[i];

			rollup_collect(&listed->job, listed->state, listed->started_at, listed->finished_at);
		}
		rollup_write();
	}
	list->n = 0;
}
