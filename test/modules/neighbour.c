/*
 * neighbour.c
 *		A library that takes much of what the libraries of a server share, and has
 *		a hook wherever defer has one.  Preloaded before or behind defer.
 *
 * hook_calls() tells how often each hook was called in this session; of those of
 * the server's start, in the postmaster.  at_commit() has a statement run when the
 * transaction commits, as late as a library can.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(hook_calls);
PG_FUNCTION_INFO_V1(at_commit);

/* The server itself has up to three of ten in each process */
#define RELCACHE_CALLBACKS	6

static int	utility_calls = 0;
static int	access_calls = 0;
static int	needs_fmgr_calls = 0;
static int	fmgr_calls = 0;
static int	request_calls = 0;
static int	startup_calls = 0;
static int	log_calls = 0;
static int	invalidations = 0;
static char *commit_statement = NULL;	/* of this transaction */

static ProcessUtility_hook_type prev_process_utility = NULL;
static object_access_hook_type prev_object_access = NULL;
static needs_fmgr_hook_type prev_needs_fmgr = NULL;
static fmgr_hook_type prev_fmgr = NULL;
static shmem_request_hook_type prev_request = NULL;
static shmem_startup_hook_type prev_startup = NULL;
static emit_log_hook_type prev_emit_log = NULL;

Datum
hook_calls(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("utility %d, access %d, needs_fmgr %d, fmgr %d, request %d, startup %d, log %d, invalidations %d",
											  utility_calls, access_calls, needs_fmgr_calls, fmgr_calls,
											  request_calls, startup_calls, log_calls, invalidations)));
}

Datum
at_commit(PG_FUNCTION_ARGS)
{
	commit_statement = MemoryContextStrdup(TopTransactionContext,
										   text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

static void
on_xact_event(XactEvent event, void *arg)
{
	char	   *statement = commit_statement;

	if (event == XACT_EVENT_ABORT)
		commit_statement = NULL;
	if (event != XACT_EVENT_PRE_COMMIT || statement == NULL)
		return;
	commit_statement = NULL;
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	SPI_execute(statement, false, 0);
	SPI_finish();
	PopActiveSnapshot();
}

static void
process_utility(PlannedStmt *pstmt, const char *query, bool read_only, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *environment, DestReceiver *receiver,
				QueryCompletion *completion)
{
	utility_calls++;
	if (prev_process_utility != NULL)
		prev_process_utility(pstmt, query, read_only, context, params, environment, receiver,
							 completion);
	else
		standard_ProcessUtility(pstmt, query, read_only, context, params, environment, receiver,
								completion);
}

static void
object_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	access_calls++;
	if (prev_object_access != NULL)
		prev_object_access(access, class, object, sub, arg);
}

/* Wants to see each call */
static bool
needs_fmgr(Oid function)
{
	needs_fmgr_calls++;
	if (prev_needs_fmgr != NULL)
		(void) prev_needs_fmgr(function);
	return true;
}

static void
on_fmgr(FmgrHookEventType event, FmgrInfo *flinfo, Datum *private)
{
	fmgr_calls++;
	if (prev_fmgr != NULL)
		prev_fmgr(event, flinfo, private);
}

static void
on_request(void)
{
	if (prev_request != NULL)
		prev_request();
	request_calls++;
	RequestAddinShmemSpace(1024);
	RequestNamedLWLockTranche("neighbour", 1);
}

static void
on_startup(void)
{
	bool		found;

	if (prev_startup != NULL)
		prev_startup();
	startup_calls++;
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	(void) ShmemInitStruct("neighbour", 1024, &found);
	LWLockRelease(AddinShmemInitLock);
}

static void
on_log(ErrorData *edata)
{
	log_calls++;
	if (prev_emit_log != NULL)
		prev_emit_log(edata);
}

static void
on_invalidation(Datum arg, Oid relation)
{
	invalidations++;
}

void		_PG_init(void);

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	for (int i = 0; i < RELCACHE_CALLBACKS; i++)
		CacheRegisterRelcacheCallback(on_invalidation, (Datum) 0);
	RegisterXactCallback(on_xact_event, NULL);
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	prev_object_access = object_access_hook;
	object_access_hook = object_access;
	prev_needs_fmgr = needs_fmgr_hook;
	needs_fmgr_hook = needs_fmgr;
	prev_fmgr = fmgr_hook;
	fmgr_hook = on_fmgr;
	prev_request = shmem_request_hook;
	shmem_request_hook = on_request;
	prev_startup = shmem_startup_hook;
	shmem_startup_hook = on_startup;
	prev_emit_log = emit_log_hook;
	emit_log_hook = on_log;
}
