/*
 * launcher.c
 *		The one process that is always there: it sees to it that each database
 *		that has the extension has a scheduler.
 *
 * It is connected to no database, so it cannot look for the extension itself.
 * When it starts it tries them all: a scheduler that finds no extension, or a
 * database that was restored or copied, gives its slot back and is gone.  From
 * then on it is told: by the commit of CREATE EXTENSION or activate(), by the
 * end of DDL on a database, by the postmaster when a scheduler has ended.  So
 * it sleeps without a time-out unless something has failed.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "process/process.h"
#include "shmem/shmem.h"
#include "shmem/statistics.h"

/*
 * A scheduler that has ended unasked is started again after a second; one that
 * does so again and again, twice as late each time, but within a minute.
 */
#define RESTART_DELAY		USECS_PER_SEC
#define MAX_DOUBLINGS		6
#define LIVED_WELL			(10 * USECS_PER_SEC)

/* Nor is a background worker asked for more often when there is none free */
#define NO_SLOT_DELAY		(5 * USECS_PER_SEC)

/* Databases that are looked into at the same time */
#define MAX_PROBES			2

/* What we know of the scheduler in the database slot of the same number */
typedef struct Child
{
	BackgroundWorkerHandle *handle; /* NULL: none started by us */
	Oid			database;
	TimestampTz started_at;
	int			failures;		/* in a row: ended soon, though it is wanted */
	TimestampTz not_before;		/* of the next start */
} Child;

static Child *children;
static List *to_probe = NIL;	/* databases that nobody has looked into yet */
static volatile sig_atomic_t terminated = false;

/*
 * The server stops, for all that we can know: tell the workers, so that they
 * do not count it against their jobs.
 */
static void
handle_sigterm(SIGNAL_ARGS)
{
	int			save_errno = errno;

	terminated = true;
	shared->shutting_down = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

void
launcher_register(void)
{
	process_register_static("launcher");
}

/* ------------------------------------------------------------------------
 * Which databases
 * ------------------------------------------------------------------------ */

static List *
list_databases(void)
{
	List	   *list = NIL;
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;
	MemoryContext context;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (!form->datallowconn || form->datistemplate)
			continue;
		context = MemoryContextSwitchTo(TopMemoryContext);
		list = lappend_oid(list, form->oid);
		MemoryContextSwitchTo(context);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	return list;
}

/* Forget the slots of databases that are gone */
static void
forget_dropped(List *databases)
{
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		DatabaseSlot *slot = &database_slots[i];

		if (OidIsValid(slot->database) && slot->scheduler_pid == 0 && !slot->starting &&
			!slot->withdrawn && !list_member_oid(databases, slot->database))
			slot->database = InvalidOid;
	}
	LWLockRelease(shared->workers_lock);
	statistics_forget_dropped(databases);
}

static void
probe_all(void)
{
	list_free(to_probe);
	to_probe = list_databases();
	forget_dropped(to_probe);
}

/* Give slots to some of the databases that are still to be looked into */
static void
probe_next(void)
{
	static bool complained = false;
	int			probing = 0;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		DatabaseSlot *slot = &database_slots[i];

		if (OidIsValid(slot->database) && slot->wanted && slot->scheduler_pid == 0)
			probing++;
	}
	while (to_probe != NIL && probing < MAX_PROBES)
	{
		DatabaseSlot *slot = database_slot(linitial_oid(to_probe), true);

		if (slot == NULL)
			break;
		slot->wanted = true;
		if (slot->scheduler_pid == 0)
			probing++;
		to_probe = list_delete_first(to_probe);
	}
	LWLockRelease(shared->workers_lock);

	if (to_probe != NIL && probing < MAX_PROBES && !complained)
	{
		complained = true;
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("defer serves %d databases and cannot serve more", shared->ndatabase_slots),
				 errhint("Raise max_worker_processes and restart the server.")));
	}
}

/* ------------------------------------------------------------------------
 * Schedulers
 * ------------------------------------------------------------------------ */

/* What has become of those that we started? */
static void
reap_children(TimestampTz now)
{
	bool		failed = false;

	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		Child	   *child = &children[i];
		bool		wanted = false;
		pid_t		pid;

		if (child->handle == NULL ||
			GetBackgroundWorkerPid(child->handle, &pid) != BGWH_STOPPED)
			continue;
		pfree(child->handle);
		child->handle = NULL;
		LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
		if (database_slots[i].database == child->database &&
			database_slots[i].scheduler_pid == 0)
		{
			database_slots[i].starting = false;
			wanted = database_slots[i].wanted && !database_slots[i].withdrawn;
		}
		LWLockRelease(shared->workers_lock);
		if (wanted && now - child->started_at < LIVED_WELL)
			child->failures = Min(child->failures + 1, MAX_DOUBLINGS);
		else
			child->failures = 0;
		child->not_before = !wanted ? now :
			now + (RESTART_DELAY << Max(child->failures - 1, 0));
		failed = failed || wanted;
	}

	/* the database may be gone */
	if (failed)
	{
		List	   *databases = list_databases();

		forget_dropped(databases);
		list_free(databases);
	}
}

static bool
start_scheduler(int index, Oid database)
{
	ProcessStart start = {"scheduler", ObjectIdGetDatum(database), 0, database, InvalidOid};

	if (children[index].database != database)
		children[index].failures = 0;
	children[index].database = database;
	children[index].started_at = GetCurrentTimestamp();
	return process_start(&start, &children[index].handle);
}

/* Start the schedulers that are wanted; returns when to look again */
static TimestampTz
start_schedulers(TimestampTz now)
{
	static bool complained = false;
	TimestampTz look_again = DT_NOEND;

	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		DatabaseSlot *slot = &database_slots[i];
		Child	   *child = &children[i];
		Oid			database = InvalidOid;
		bool		started;

		LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
		if (OidIsValid(slot->database) && slot->wanted && !slot->withdrawn &&
			!slot->starting && slot->scheduler_pid == 0 && child->handle == NULL)
		{
			/* further off than it ever is: the clock was set back */
			if (child->not_before > now + (RESTART_DELAY << MAX_DOUBLINGS))
				child->not_before = now;
			if (child->database == slot->database && child->not_before > now)
				look_again = Min(look_again, child->not_before);
			else
			{
				database = slot->database;
				slot->starting = true;
			}
		}
		LWLockRelease(shared->workers_lock);
		if (!OidIsValid(database))
			continue;

		started = start_scheduler(i, database);
		if (!started)
		{
			LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
			slot->starting = false;
			slot->no_slots = true;
			LWLockRelease(shared->workers_lock);
			child->not_before = now + NO_SLOT_DELAY;
			look_again = Min(look_again, child->not_before);
			if (!complained)
				ereport(WARNING,
						(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						 errmsg("no background worker is free for a scheduler of defer"),
						 errhint("Raise max_worker_processes (now %d) and restart the server.",
								 max_worker_processes)));
		}
		complained = !started;
	}
	return look_again;
}

/*
 * After a restore: has each database been looked into by its scheduler?  One
 * that is not to be served has given its slot back.
 */
static bool
all_checked(void)
{
	bool		all = to_probe == NIL;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->ndatabase_slots && all; i++)
	{
		DatabaseSlot *slot = &database_slots[i];

		if (OidIsValid(slot->database) && (slot->wanted || slot->withdrawn))
			all = slot->scheduler_pid != 0 && slot->checked && !slot->withdrawn;
	}
	all = all && !shared->probe;
	LWLockRelease(shared->workers_lock);
	return all;
}

/* ------------------------------------------------------------------------
 * The process
 * ------------------------------------------------------------------------ */

static void
launcher_detach(int code, Datum arg)
{
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	shared->launcher_pid = 0;
	shared->launcher_latch = NULL;
	LWLockRelease(shared->workers_lock);
}

static void
launcher_attach(void)
{
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	shared->launcher_pid = MyProcPid;
	shared->launcher_latch = MyLatch;
	shared->launcher_since = GetCurrentTimestamp();
	shared->shutting_down = false;
	shared->probe = true;

	/* a launcher before us may have died between asking and hearing */
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		if (database_slots[i].scheduler_pid == 0)
			database_slots[i].starting = false;
	}
	LWLockRelease(shared->workers_lock);
	on_shmem_exit(launcher_detach, (Datum) 0);
}

static bool
take_probe_request(void)
{
	bool		wanted;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	wanted = shared->probe;
	shared->probe = false;
	LWLockRelease(shared->workers_lock);
	return wanted;
}

void
defer_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, handle_sigterm);
	BackgroundWorkerUnblockSignals();
	launcher_attach();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("defer launcher");
	children = MemoryContextAllocZero(TopMemoryContext,
									  sizeof(Child) * shared->ndatabase_slots);

	while (!terminated)
	{
		TimestampTz now;
		TimestampTz look_again;
		long		wait = -1;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		now = GetCurrentTimestamp();
		if (take_probe_request())
			probe_all();
		reap_children(now);
		probe_next();
		look_again = start_schedulers(now);
		if (shared->restored && all_checked())
			restored_done();
		if (look_again != DT_NOEND)
			wait = TimestampDifferenceMilliseconds(now, look_again) + 1;
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (wait >= 0 ? WL_TIMEOUT : 0),
						 wait, PG_WAIT_EXTENSION);
	}
	proc_exit(EXIT_AGAIN);
}
