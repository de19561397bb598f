/*
 * start.c
 *		How each process of ours is started: one function, one description.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "process/process.h"

/* All but what tells one kind from another */
static void
describe(BackgroundWorker *worker, const char *kind, const char *library)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker->bgw_library_name, library != NULL ? library : "defer", BGW_MAXLEN);
	snprintf(worker->bgw_function_name, BGW_MAXLEN, "defer_%s_main", kind);
	snprintf(worker->bgw_type, BGW_MAXLEN, "defer %s", kind);
	strlcpy(worker->bgw_name, worker->bgw_type, BGW_MAXLEN);
}

void
process_register_static(const char *kind)
{
	BackgroundWorker worker;

	describe(&worker, kind, NULL);
	worker.bgw_restart_time = 1;
	RegisterBackgroundWorker(&worker);
}

bool
process_start(const ProcessStart *start, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;
	MemoryContext context;
	bool		started;

	describe(&worker, start->kind, start->library);
	worker.bgw_main_arg = start->arg;
	worker.bgw_notify_pid = MyProcPid;
	memcpy(worker.bgw_extra, &start->generation, sizeof(start->generation));
	if (start->role != NULL)
		snprintf(worker.bgw_name, BGW_MAXLEN, "defer %s for role %s in database %s",
				 start->kind, start->role, start->database);
	else
		snprintf(worker.bgw_name, BGW_MAXLEN, "defer %s for database %s",
				 start->kind, start->database);

	/* the handle outlives whatever is under way */
	context = MemoryContextSwitchTo(TopMemoryContext);
	if (*handle != NULL)
		pfree(*handle);
	*handle = NULL;
	started = RegisterDynamicBackgroundWorker(&worker, handle);
	MemoryContextSwitchTo(context);
	if (!started)
		*handle = NULL;
	return started;
}

uint32
process_generation(void)
{
	uint32		generation;

	memcpy(&generation, MyBgworkerEntry->bgw_extra, sizeof(generation));
	return generation;
}
