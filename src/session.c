/*
 * session.c
 *		A worker's session from one job to the next: no job sees what another left.
 *
 * Settings, SET ROLE included, are undone by a nest level around the job's
 * work, which costs nothing when nothing was set.  A procedure that commits
 * ends that level, so after one everything is reset.  Temporary tables,
 * prepared statements, cursors, advisory locks, sequences' cached values are
 * dropped if there are any.
 *
 * What procedural languages keep in the process (%_SHARED, GD) and the seed of
 * random() cannot be reset from here.  All jobs of a process belong to one
 * role.
 */
#include "defer.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/lock.h"
#include "utils/guc.h"
#include "utils/portal.h"

static uint64 transactions_ended = 0;
static uint64 ended_before;		/* when the job began */
static int	guc_level;
static Oid	session_user;
static int	session_context;
static bool touched_temp = false;

static void
count_transactions(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
	{
		transactions_ended++;
		if (MyXactFlags & XACT_FLAGS_ACCESSEDTEMPNAMESPACE)
			touched_temp = true;
	}
}

/* In the job's transaction, before its work */
void
session_before_job(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(count_transactions, NULL);
		registered = true;
	}
	ended_before = transactions_ended;
	GetUserIdAndSecContext(&session_user, &session_context);
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
 * In the job's last transaction, after its work.  Deferred triggers belong to
 * the job: they run now, under its settings.
 */
void
session_after_job(void)
{
	AfterTriggerFireDeferred();
	if (transactions_ended == ended_before)
		AtEOXact_GUC(false, guc_level);
	else
		reset_settings();
	SetUserIdAndSecContext(session_user, session_context);
}

/* A procedure committed its settings and then failed */
static void
reset_after_failure(void)
{
	StartTransactionCommand();
	reset_settings();
	CommitTransactionCommand();
}

static void
drop_temporary_objects(void)
{
	Oid			temp_schema,
				toast_schema;

	touched_temp = false;
	GetTempNamespaceState(&temp_schema, &toast_schema);
	if (!OidIsValid(temp_schema))
		return;
	StartTransactionCommand();
	ResetTempTableNamespace();
	CommitTransactionCommand();
	touched_temp = false;
}

/* Outside any transaction, however the job ended */
void
session_between_jobs(void)
{
	/* one transaction ended with the job: more were its own */
	if (transactions_ended > ended_before + 1)
		reset_after_failure();
	PortalHashTableDeleteAll();
	DropAllPreparedStatements();
	if (touched_temp)
		drop_temporary_objects();
	LockReleaseAll(USER_LOCKMETHOD, true);
	ResetSequenceCaches();
}
