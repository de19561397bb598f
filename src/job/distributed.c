/*
 * distributed.c
 *		Jobs in a database that is a node of Citus.
 *
 * Citus sends what a statement has to do on other nodes there, and has it committed
 * with the transaction here only if that is a transaction block: without one each node
 * commits by itself, and a job that fails afterwards has left its writes there.  A
 * worker calls functions outside of any block, and of any query, so it opens one.  The
 * other nodes then prepare, and commit after the commit here is on disk: each transaction
 * of a job is flushed, whatever synchronous_commit the job has set.  Procedures, and
 * commands that run in no block, have the blocks that Citus opens for them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "base/callbacks.h"
#include "base/citus.h"
#include "job/distributed.h"

/* The job that this process runs as a worker; 0: it is none, and a user's session */
static int64 running = 0;

void
distributed_set_job(int64 job_id)
{
	running = job_id;
}

/* At the last moment: the job may have SET LOCAL.  For this transaction, not those of claims */
static void
flush_commit(XactEvent event)
{
	if (event == XACT_EVENT_PRE_COMMIT && running != 0 &&
		synchronous_commit == SYNCHRONOUS_COMMIT_OFF && citus_here())
		(void) set_config_option("synchronous_commit", "on", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
}

void
distributed_init(void)
{
	defer_on_xact_event(flush_commit);
	distributed_enqueue_init();
}

int64
distributed_job(void)
{
	return running;
}

void
distributed_begin_block(void)
{
	MemoryContext context = CurrentMemoryContext;

	if (running == 0 || !citus_here() || IsTransactionBlock())
		return;
	BeginTransactionBlock();
	CommitTransactionCommand();
	StartTransactionCommand();
	MemoryContextSwitchTo(context);
	(void) citus_commit_in_two_phases();
}

void
distributed_commit(void)
{
	if (IsTransactionBlock())
		(void) EndTransactionBlock(false);
	CommitTransactionCommand();
}
