/*
 * defer.c
 *		What happens when the library is loaded: by the server, as it should be
 *		(shared_preload_libraries), or by a session that calls a function of ours.
 *
 * Without the server's help there is no shared memory and no process: jobs can
 * be enqueued, and wait for better times.
 */
#include "postgres.h"

#include "commands/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"

#include "base/call_hint.h"
#include "base/citus.h"
#include "base/compat.h"
#include "base/guc.h"
#include "base/wait_events.h"
#include "config/function_identity.h"
#include "shmem/begun_jobs.h"
#include "shmem/caps.h"
#include "shmem/dependents.h"
#include "shmem/preload.h"
#include "shmem/shmem.h"
#include "shmem/statistics.h"
#include "shmem/xact_notify.h"
#include "function/direct_call_check.h"
#include "table/fan_out_count.h"
#include "table/job_table.h"
#include "job/distributed.h"
#include "job/enqueue.h"
#include "job/lease.h"
#include "lifecycle/lifecycle.h"
#include "process/process.h"

#if PG_VERSION_NUM >= 180000
PG_MODULE_MAGIC_EXT(.name = "defer", .version = DEFER_VERSION);
#else
PG_MODULE_MAGIC;
#endif

/* PostgreSQL 15 declares it nowhere */
void		_PG_init(void);

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static void
shmem_request(void)
{
	if (prev_shmem_request_hook != NULL)
		prev_shmem_request_hook();
	defer_shmem_request();
}

static void
shmem_startup(void)
{
	if (prev_shmem_startup_hook != NULL)
		prev_shmem_startup_hook();
	defer_wait_events_init();
	defer_shmem_startup();
	begun_jobs_open(shared->nworker_slots, restore_detect_at_start());
}

void
_PG_init(void)
{
	/*
	 * pg_upgrade wants no process of ours, and nothing to happen in its
	 * databases
	 */
	if (IsBinaryUpgrade)
		return;

	guc_define();
	citus_init();
	call_hint_init();
	xact_notify_init();
	statistics_init();
	job_table_init();
	enqueue_init();
	if (citus_loaded)
		distributed_init();
	dependents_init();
	caps_init();
	fan_out_count_init();
	lease_init();				/* behind it: what this writes before a commit
								 * is counted there */
	direct_call_check_init();
	function_identity_init();
	database_ddl_init();
	if (!process_shared_preload_libraries_in_progress)
	{
		if (creating_extension)
			warn_if_not_preloaded();
		return;
	}

	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;
	launcher_register();
}
