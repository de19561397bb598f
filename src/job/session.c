/*
 * session.c
 *		A worker's session from one job to the next: no job sees what another left.
 *
 * Settings, SET ROLE included, are undone by a nest level around the job's
 * work, which costs nothing when nothing was set.  A procedure that commits
 * ends that level, so after one everything is reset.  Temporary tables,
 * prepared statements, cursors, advisory locks, temporary replication slots,
 * sequences' cached values are dropped if there are any; random() is given
 * another seed.
 *
 * What cannot be reset from here: variables that procedural languages keep in
 * the process (%_SHARED, GD), named connections of dblink, libraries that were
 * loaded, and that a setting of one's own (SET my.thing), once made, is '' and
 * not unknown.  All jobs of a process belong to one role, and the process ends
 * after a while.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/async.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "replication/slot.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"

#include "base/callbacks.h"
#include "base/compat.h"
#include "job/session.h"

static uint64 transactions_ended = 0;
static uint64 ended_before;		/* when the job began */
static bool aborted = false;	/* some transaction was, since
								 * session_between_jobs() */
static bool touched_temp = false;	/* there may be temporary objects */
static int	guc_level;
static Oid	user;				/* whom the job began as */
static int	security_context;

static void
count_transactions(XactEvent event)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	transactions_ended++;
	if (event == XACT_EVENT_ABORT)
		aborted = true;
	if (MyXactFlags & XACT_FLAGS_ACCESSEDTEMPNAMESPACE)
		touched_temp = true;
}

/* In the job's transaction, before its work */
void
session_before_job(void)
{
	defer_on_xact_event(count_transactions);
	ended_before = transactions_ended;
	GetUserIdAndSecContext(&user, &security_context);
	guc_level = NewGUCNestLevel();
}

/* All settings and the role as they were when the session began */
static void
reset_settings(void)
{
	SetPGVariable("session_authorization", NIL, false);
	SetPGVariable("role", NIL, false);
	ResetAllOptions();
}

/*
 * In the job's last transaction, after its work.  Cursors and deferred
 * triggers would have the job's code run at the commit, after what we write
 * there: so the ones are closed and the others run now, under the job's
 * settings.  A deferred constraint's error is the job's.
 *
 * On return the user is the one that the job began as.
 */
void
session_after_job(void)
{
	PortalHashTableDeleteAll();
	AfterTriggerFireDeferred();
	PortalHashTableDeleteAll();
	Async_UnlistenAll();
	if (transactions_ended == ended_before)
		AtEOXact_GUC(false, guc_level);
	else
		reset_settings();
	SetUserIdAndSecContext(user, security_context);
	if (GetOuterUserId() != user)
		ereport(FATAL,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("the session could not be reset after a job")));
}

/* As at the top of a client's session after an error */
static void
clean_up_after_abort(void)
{
	aborted = false;
	jit_reset_after_error();
	PortalErrorCleanup();
	if (MyReplicationSlot != NULL)
		ReplicationSlotRelease();
}

/* The job's own transactions may have committed settings, whatever came after */
static void
reset_committed_settings(void)
{
	StartTransactionCommand();
	reset_settings();
	CommitTransactionCommand();
}

static void
drop_temporary_objects(void)
{
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	ResetTempTableNamespace();
	PopActiveSnapshot();
	CommitTransactionCommand();
	touched_temp = false;
}

/*
 * Outside any transaction, however the job ended.  An error here leaves a
 * session that must not be used: it ends the process.
 */
void
session_between_jobs(void)
{
	/* one transaction has ended with the job: more were its own */
	const bool	committed = transactions_ended > ended_before + 1;
	const bool	failed = aborted;

	if (failed)
		clean_up_after_abort();
	if (committed)
		reset_committed_settings();
	if (failed || committed)
		PortalHashTableDeleteAll(); /* else session_after_job() has done that */
	DropAllPreparedStatements();
	if (touched_temp)
		drop_temporary_objects();
	/* advisory locks are always in the lists of the lock manager */
	if (!compat_holds_no_lock(MyProc))
		LockReleaseAll(USER_LOCKMETHOD, true);
	compat_drop_temporary_slots();
	ResetSequenceCaches();
	(void) DirectFunctionCall1(setseed,
							   Float8GetDatum(2 * pg_prng_double(&pg_global_prng_state) - 1));
}
