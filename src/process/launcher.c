/*
 * launcher.c
 *		The process that starts a scheduler in each database that has the
 *		extension.
 *
 * The launcher is connected to no database, so it cannot look for the
 * extension itself.  At its start it probes all databases, a few at a time: it
 * starts a scheduler in each.  A scheduler that finds no extension, or a
 * restored or copied database, gives its slot back and exits.  After that the
 * launcher is woken by the commit of CREATE EXTENSION and activate(), by the
 * end of DDL on a database, by each scheduler that has checked its database or
 * exits, and by the postmaster when a scheduler has ended.
 *
 * The launcher waits without a time-out only when it has nothing left to do: a
 * wake-up that is lost, or a scheduler that hangs, delays the others by
 * CHECK_DELAY at most.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/wait_events.h"
#include "base/own_transaction.h"
#include "shmem/databases.h"
#include "shmem/leases.h"
#include "shmem/ready_queue.h"
#include "shmem/shmem.h"
#include "shmem/statistics.h"
#include "process/database_list.h"
#include "process/pool_policy.h"
#include "lifecycle/lifecycle.h"
#include "process/process.h"
#include "process/slot.h"

/* A scheduler that cannot be started for want of a slot is tried again after this */
#define NO_SLOT_DELAY		(200 * 1000)

/* As long as there is something to do, look at least so often */
#define CHECK_DELAY			USECS_PER_SEC

/* Schedulers that may be starting, or checking their database, at a time */
#define MAX_PROBES			4

/* A scheduler that has not checked its database after this is not waited for */
#define PROBE_PATIENCE		(5 * USECS_PER_SEC)

/* The scheduler that was started for the database slot of the same number */
typedef struct Child
{
	BackgroundWorkerHandle *handle; /* NULL: none started by us */
	Oid			database;
	bool		served;			/* it was seen to have checked its database */
	bool		no_slot;		/* no background worker was free for it */
	int			failures;		/* starts in a row that have not come as far */
	TimestampTz started_at;
	TimestampTz not_before;		/* of the next start */
} Child;

static Child *children;
static List *to_probe = NIL;	/* OIDs of databases, not probed yet */
static bool complained_no_slots = false;	/* since all databases were served
											 * last */
static volatile sig_atomic_t terminated = false;

static void
handle_sigterm(SIGNAL_ARGS)
{
	int			save_errno = errno;

	terminated = true;
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

/* Free the slots of databases that are not in the list */
static void
forget_dropped(List *databases)
{
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		DatabaseSlot *slot = &database_slots[i];

		if (OidIsValid(slot->database) && slot->scheduler.pid == 0 && !slot->starting &&
			!slot->withdrawn && !list_member_oid(databases, slot->database))
		{
			leases_forget(slot->database);
			ready_queues_forget(slot->database);
			slot->database = InvalidOid;
		}
	}
	LWLockRelease(shared->workers_lock);
	statistics_forget_dropped(databases);
}

static void
probe_all(void)
{
	list_free(to_probe);
	to_probe = databases_to_serve();
	forget_dropped(to_probe);
}

/*
 * Check whether a scheduler is about to start, under way to its database,
 * checking it, or not gone yet after that.  A scheduler that waits for its
 * next start, or that hangs, does not count: it holds up no other database.
 * The caller holds workers_lock.
 */
static bool
is_probing(int index, TimestampTz now)
{
	DatabaseSlot *slot = &database_slots[index];
	Child	   *child = &children[index];

	if (child->handle == NULL && !slot->starting && slot->scheduler.pid == 0)
		return OidIsValid(slot->database) && slot->wanted && !slot->withdrawn &&
			(child->database != slot->database || child->not_before <= now);
	return !(slot->scheduler.pid != 0 && slot->checked) &&
		now - child->started_at < PROBE_PATIENCE;
}

/* Give slots to some of the databases that are not probed yet */
static void
probe_next(TimestampTz now)
{
	static bool complained = false;
	int			probing = 0;
	bool		full = false;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		if (is_probing(i, now))
			probing++;
	}
	while (to_probe != NIL && probing < MAX_PROBES)
	{
		DatabaseSlot *slot = database_slot(linitial_oid(to_probe), true);

		if (slot == NULL)
		{
			full = true;
			break;
		}
		slot->wanted = true;
		if (slot->scheduler.pid == 0)
			probing++;
		to_probe = list_delete_first(to_probe);
	}
	LWLockRelease(shared->workers_lock);

	/* with probes under way some slots may come free again */
	if (full && probing == 0 && !complained)
	{
		complained = true;
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("out of shared memory slots for databases"),
				 errdetail("%d databases are served, and others are not.", shared->ndatabase_slots),
				 errhint("Raise max_worker_processes and restart the server.")));
	}
}

/* ------------------------------------------------------------------------
 * Schedulers
 * ------------------------------------------------------------------------ */

/*
 * Record which schedulers have come as far as serving their database.  Returns
 * true if any slot is wanted and has no scheduler that does.
 */
static bool
watch_children(void)
{
	bool		unserved = false;

	LWLockAcquire(shared->workers_lock, LW_SHARED);
	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		DatabaseSlot *slot = &database_slots[i];

		if (!OidIsValid(slot->database) || !slot->wanted || slot->withdrawn)
			continue;
		if (slot->scheduler.pid != 0 && slot->checked)
			children[i].served = true;
		else
			unserved = true;
	}
	LWLockRelease(shared->workers_lock);
	return unserved;
}

/* Decide when the schedulers that have ended are started again */
static void
reap_children(TimestampTz now)
{
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
			database_slots[i].scheduler.pid == 0)
		{
			database_slots[i].starting = false;
			wanted = database_slots[i].wanted && !database_slots[i].withdrawn;
			child->served = child->served || database_slots[i].checked;
		}
		LWLockRelease(shared->workers_lock);
		child->failures = wanted && !child->served ? child->failures + 1 : 0;
		child->not_before = !wanted ? now :
			child->started_at + policy_restart_delay(child->served, child->failures);
	}
}

/* The slot has no scheduler: free it, its database is gone */
static void
forget_database(DatabaseSlot *slot, Oid database)
{
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	if (slot->database == database && slot->scheduler.pid == 0)
	{
		slot->starting = false;
		if (!slot->withdrawn)
		{
			leases_forget(database);
			ready_queues_forget(database);
			slot->database = InvalidOid;
		}
	}
	LWLockRelease(shared->workers_lock);
}

/* Start the scheduler of a slot that is marked as starting; false: no slot is free */
static bool
start_scheduler(int index, Oid database)
{
	Child	   *child = &children[index];
	NameData	name;
	ProcessStart start = {"scheduler", ObjectIdGetDatum(database), 0, NameStr(name), NULL};

	/* DROP DATABASE withdraws us first: one that is there now is until then */
	if (!database_is_servable(database, &name))
	{
		forget_database(&database_slots[index], database);
		return true;
	}
	if (child->database != database)
		child->failures = 0;
	child->database = database;
	child->served = false;
	child->started_at = GetCurrentTimestamp();
	return process_start(&start, &child->handle);
}

/*
 * Mark the slot as starting if its scheduler is to be started now; returns its
 * database, or InvalidOid.  Lowers *next_check to when it is.
 */
static Oid
next_to_start(int index, TimestampTz now, TimestampTz *next_check)
{
	DatabaseSlot *slot = &database_slots[index];
	Child	   *child = &children[index];
	Oid			database = InvalidOid;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	if (OidIsValid(slot->database) && slot->wanted && !slot->withdrawn &&
		!slot->starting && slot->scheduler.pid == 0 && child->handle == NULL)
	{
		/* further off than it ever is: the clock was set back */
		if (child->not_before > now + policy_restart_delay(false, child->failures))
			child->not_before = now;
		if (child->database == slot->database && child->not_before > now)
			*next_check = Min(*next_check, child->not_before);
		else
		{
			database = slot->database;
			slot->starting = true;
			slot->checked = false;
		}
	}
	LWLockRelease(shared->workers_lock);
	return database;
}

/* Start the schedulers that are wanted; lowers *next_check to when to look again */
static void
start_schedulers(TimestampTz now, TimestampTz *next_check)
{
	bool		no_slots = false;

	for (int i = 0; i < shared->ndatabase_slots; i++)
	{
		Child	   *child = &children[i];
		Oid			database = next_to_start(i, now, next_check);

		if (!OidIsValid(database))
		{
			/* waits for its next try */
			no_slots = no_slots || (child->no_slot && child->not_before > now);
			continue;
		}
		child->no_slot = !start_scheduler(i, database);
		if (!child->no_slot)
			continue;
		LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
		database_slots[i].starting = false;
		database_slots[i].no_slots = true;
		LWLockRelease(shared->workers_lock);
		child->not_before = now + NO_SLOT_DELAY;
		*next_check = Min(*next_check, child->not_before);
		no_slots = true;
	}
	if (no_slots)
		slot_ask_for(InvalidOid, 1, true);
	if (shared->scheduler_waits != no_slots)
	{
		LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
		shared->scheduler_waits = no_slots;
		LWLockRelease(shared->workers_lock);
	}
	if (no_slots && !complained_no_slots)
	{
		complained_no_slots = true;
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker is free for a scheduler of defer"),
				 errhint("Raise max_worker_processes (now %d) and restart the server.",
						 max_worker_processes)));
	}
}

/*
 * After a restore: check whether each database has been looked into by its
 * scheduler.  One that is not to be served has given its slot back.
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
			all = slot->scheduler.pid != 0 && slot->checked && !slot->withdrawn;
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
	slot_detach_launcher();
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
	slot_attach_launcher();
	on_shmem_exit(launcher_detach, (Datum) 0);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	own_transaction_settings();
	pgstat_report_appname("defer launcher");
	children = MemoryContextAllocZero(TopMemoryContext,
									  sizeof(Child) * shared->ndatabase_slots);

	while (!terminated)
	{
		TimestampTz now;
		TimestampTz next_check = DT_NOEND;
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
		probe_next(now);
		start_schedulers(now, &next_check);
		if (watch_children() || to_probe != NIL)
			next_check = Min(next_check, now + CHECK_DELAY);
		else
			complained_no_slots = false;
		if (shared->restored && all_checked())
			restore_detect_done();
		if (next_check != DT_NOEND)
			wait = TimestampDifferenceMilliseconds(now, next_check) + 1;
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (wait >= 0 ? WL_TIMEOUT : 0),
						 wait, defer_wait_event(DEFER_WAIT_LAUNCHER_MAIN));
	}
	proc_exit(EXIT_AGAIN);
}
