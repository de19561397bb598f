/*
 * database_ddl.c
 *		Out of the way of DDL.
 *
 * DROP DATABASE, CREATE DATABASE ... TEMPLATE, ALTER DATABASE ... RENAME and
 * SET TABLESPACE need a database without connections.  DROP EXTENSION and
 * ALTER EXTENSION ... UPDATE need tables that no process uses.  Our processes
 * are connected and use them.  So before a user with the right to such a
 * command runs it, the database is marked as withdrawn: our processes leave,
 * workers after their job if it ends within a second, and none is started.
 * When the command's transaction is over the launcher goes on from what it
 * finds.
 *
 * Also here: COMMIT PREPARED, which brings jobs without the callbacks of a
 * commit, and the extension's end.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/callbacks.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/timer.h"
#include "base/wait_events.h"
#include "shmem/caps.h"
#include "shmem/databases.h"
#include "shmem/dependents_counts.h"
#include "shmem/scheduler_wake.h"
#include "shmem/senders.h"
#include "shmem/workers.h"
#include "shmem/xact_notify.h"
#include "table/job_table.h"
#include "lifecycle/lifecycle.h"

/* A running job may go on for so long; then it is interrupted (microseconds) */
#define GRACE		USECS_PER_SEC

/* After so long the command is run all the same, and says itself who is there */
#define PATIENCE	(5 * USECS_PER_SEC)

static ProcessUtility_hook_type prev_process_utility = NULL;
static object_access_hook_type prev_object_access = NULL;

/* The databases whose slots count this session; a transaction can rename several */
static List *withdrawn_by_us = NIL;

/* ------------------------------------------------------------------------
 * Which database
 * ------------------------------------------------------------------------ */

static Oid
template_of(CreatedbStmt *stmt)
{
	const char *template = "template1";
	ListCell   *cell;

	foreach(cell, stmt->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
			template = defGetString(option);
	}
	return get_database_oid(template, true);
}

static bool
moves_database(AlterDatabaseStmt *stmt)
{
	ListCell   *cell;

	foreach(cell, stmt->options)
	{
		if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
			return true;
	}
	return false;
}

static bool
drops_extension(DropStmt *stmt)
{
	ListCell   *cell;

	if (stmt->removeType != OBJECT_EXTENSION)
		return false;
	foreach(cell, stmt->objects)
	{
		Node	   *name = lfirst(cell);

		if (IsA(name, String) && strcmp(strVal(name), "defer") == 0)
			return true;
	}
	return false;
}

/* The server's own function for it is not there in older minor versions of PostgreSQL 15 */
static bool
may_create_databases(void)
{
	HeapTuple	role;
	bool		may = false;

	if (superuser())
		return true;
	role = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(role))
	{
		may = ((Form_pg_authid) GETSTRUCT(role))->rolcreatedb;
		ReleaseSysCache(role);
	}
	return may;
}

/* Templates can be copied by all who may create databases */
static bool
may_copy(Oid database)
{
	return compat_owns_database(database, GetUserId()) ||
		(catalog_database_is_template(database) && may_create_databases());
}

/*
 * Return the database that we must leave for the command; InvalidOid: none.
 * Users who may not run the command do not disturb the jobs of others.
 */
static Oid
database_wanted_empty(Node *stmt)
{
	Oid			database = InvalidOid;

	if (!IsTransactionState())
		return InvalidOid;
	switch (nodeTag(stmt))
	{
		case T_DropdbStmt:
			database = get_database_oid(((DropdbStmt *) stmt)->dbname, true);
			break;
		case T_CreatedbStmt:
			database = template_of((CreatedbStmt *) stmt);
			break;
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType == OBJECT_DATABASE)
				database = get_database_oid(((RenameStmt *) stmt)->subname, true);
			break;
		case T_AlterDatabaseStmt:
			if (moves_database((AlterDatabaseStmt *) stmt))
				database = get_database_oid(((AlterDatabaseStmt *) stmt)->dbname, true);
			break;
		case T_DropStmt:
			if (drops_extension((DropStmt *) stmt) && catalog_installed() &&
				has_privs_of_role(GetUserId(), catalog_owner()))
				return MyDatabaseId;
			return InvalidOid;
		case T_AlterExtensionStmt:
			if (strcmp(((AlterExtensionStmt *) stmt)->extname, "defer") == 0 && catalog_installed() &&
				has_privs_of_role(GetUserId(), catalog_owner()))
				return MyDatabaseId;
			return InvalidOid;
		default:
			return InvalidOid;
	}
	if (!OidIsValid(database))
		return InvalidOid;
	if (IsA(stmt, CreatedbStmt) ? may_copy(database) : compat_owns_database(database, GetUserId()))
		return database;
	return InvalidOid;
}

/* ------------------------------------------------------------------------
 * Withdraw from it
 * ------------------------------------------------------------------------ */

/*
 * Ask all of our processes there to leave; false: there are none.  A worker
 * whose job runs the command stays.
 */
static bool
processes_left(Oid database, bool interrupt)
{
	DatabaseSlot *slot;
	SenderSlot *sender;
	bool		any = false;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	slot = database_slot(database, false);
	if (slot != NULL && slot->scheduler.pid != 0)
	{
		any = true;
		database_wake_scheduler_locked(slot);
		if (interrupt)
			kill(slot->scheduler.pid, SIGTERM);
	}
	for (int i = 0; i < shared->nworker_slots; i++)
	{
		WorkerSlot *worker = &worker_slots[i];

		/* one without a pid has no connection, and will not get one */
		if (worker == my_worker || worker->state == WORKER_FREE ||
			worker->database != database || worker->process.pid == 0)
			continue;
		any = true;
		SetLatch(worker->process.latch);
		if (interrupt)
			kill(worker->process.pid, SIGTERM);
	}
	sender = sender_slot(database);
	if (sender != NULL && sender->process.pid != 0)
	{
		any = true;
		SetLatch(sender->process.latch);
		if (interrupt)
			kill(sender->process.pid, SIGTERM);
	}
	LWLockRelease(shared->workers_lock);
	return any;
}

/*
 * Withdraw our processes on behalf of this session.  False: it has done so before, or
 * there is no slot, and so no process.
 */
static bool
begin_withdrawal(Oid database)
{
	MemoryContext context;
	DatabaseSlot *slot;

	if (list_member_oid(withdrawn_by_us, database))
		return false;
	context = MemoryContextSwitchTo(TopMemoryContext);
	withdrawn_by_us = lappend_oid(withdrawn_by_us, database);
	MemoryContextSwitchTo(context);
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	slot = database_slot(database, true);
	if (slot != NULL)
		slot->withdrawn++;
	else
		withdrawn_by_us = list_delete_oid(withdrawn_by_us, database);
	LWLockRelease(shared->workers_lock);
	return slot != NULL;
}

/* Let them come back, unless another session has DDL on the database, too */
static void
end_withdrawal(Oid database)
{
	DatabaseSlot *slot;

	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	withdrawn_by_us = list_delete_oid(withdrawn_by_us, database);
	slot = database_slot(database, false);
	if (slot != NULL)
	{
		Assert(slot->withdrawn > 0);
		slot->withdrawn--;
		/* the launcher finds out the rest */
		if (slot->scheduler.pid == 0)
			slot->wanted = true;
	}
	shared->probe = true;
	if (shared->launcher.latch != NULL)
		SetLatch(shared->launcher.latch);
	LWLockRelease(shared->workers_lock);
}

static void
end_withdrawals(void)
{
	while (withdrawn_by_us != NIL)
		end_withdrawal(linitial_oid(withdrawn_by_us));
}

/*
 * Come back when the transaction of the command is over.  Not before: until
 * DROP DATABASE has committed the launcher still finds the database.
 */
static void
come_back_at_transaction_end(XactEvent event)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			end_withdrawals();
			break;
		default:
			break;
	}
}

/* This process ends in the middle of it: the database is not to be forgotten */
static void
come_back_at_exit(int code, Datum arg)
{
	end_withdrawals();
}

/* Withdraw our processes and wait until they are gone; false: there was no need to */
static bool
withdraw_from(Oid database)
{
	static bool registered = false;
	const int64 began = monotonic_now();
	volatile bool interrupted = false;

	if (!registered)
	{
		on_shmem_exit(come_back_at_exit, (Datum) 0);
		defer_on_xact_event(come_back_at_transaction_end);
		registered = true;
	}
	if (!begin_withdrawal(database))
		return false;
	PG_TRY();
	{
		for (;;)
		{
			int64		waited = monotonic_now() - began;
			bool		interrupt = !interrupted && waited >= GRACE;

			if (!processes_left(database, interrupt) || waited >= PATIENCE)
				break;
			interrupted = interrupted || interrupt;
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 10,
							 defer_wait_event(DEFER_WAIT_WITHDRAW));
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	}
	PG_CATCH();
	{
		/* the user has had enough of waiting */
		end_withdrawal(database);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return true;
}

/* ------------------------------------------------------------------------
 * Hooks
 * ------------------------------------------------------------------------ */

static void
run_utility(PlannedStmt *pstmt, const char *query, bool read_only, ProcessUtilityContext context,
			ParamListInfo params, QueryEnvironment *environment, DestReceiver *receiver,
			QueryCompletion *completion)
{
	if (prev_process_utility != NULL)
		prev_process_utility(pstmt, query, read_only, context, params, environment, receiver,
							 completion);
	else
		standard_ProcessUtility(pstmt, query, read_only, context, params, environment, receiver,
								completion);
}

/*
 * Announce the jobs of a prepared transaction, which no process was told about
 */
static void
note_commit_prepared(void)
{
	DatabaseSlot *slot;

	dependents_prepared_end(true);
	LWLockAcquire(shared->workers_lock, LW_EXCLUSIVE);
	slot = database_slot(MyDatabaseId, false);
	if (slot != NULL)
	{
		slot->rescan = true;
		database_wake_scheduler_locked(slot);
	}
	LWLockRelease(shared->workers_lock);
}

static void
ddl_process_utility(PlannedStmt *pstmt, const char *query, bool read_only,
					ProcessUtilityContext context, ParamListInfo params,
					QueryEnvironment *environment, DestReceiver *receiver,
					QueryCompletion *completion)
{
	Node	   *stmt = pstmt->utilityStmt;
	bool		commit_prepared = IsA(stmt, TransactionStmt) &&
		((TransactionStmt *) stmt)->kind == TRANS_STMT_COMMIT_PREPARED;
	bool		rollback_prepared = IsA(stmt, TransactionStmt) &&
		((TransactionStmt *) stmt)->kind == TRANS_STMT_ROLLBACK_PREPARED;
	bool		creates = IsA(stmt, CreateExtensionStmt);	/* CASCADE: perhaps
															 * ours, too */
	bool		alters = IsA(stmt, AlterDatabaseStmt);
	volatile Oid database;
	volatile bool withdrawn;

	job_table_close();
	if (shared == NULL)
	{
		run_utility(pstmt, query, read_only, context, params, environment, receiver, completion);
		return;
	}
	if (commit_prepared)
		dependents_prepared_begin();
	database = database_wanted_empty(stmt);
	withdrawn = OidIsValid(database) && withdraw_from(database);
	PG_TRY();
	{
		run_utility(pstmt, query, read_only, context, params, environment, receiver, completion);
	}
	PG_CATCH();
	{
		if (withdrawn)
			end_withdrawal(database);
		if (commit_prepared)
			dependents_prepared_end(false);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (commit_prepared)
		note_commit_prepared();
	if (commit_prepared || rollback_prepared)
		caps_doubt_all();
	if (commit_prepared)
		caps_changed();
	if (creates && catalog_installed())
		xact_notify_installed();
	if (alters)
		xact_notify_probe();	/* connections may be allowed again */
}

/* The extension is being dropped: when that is committed, the scheduler looks */
static void
ddl_object_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (access == OAT_DROP && class == ExtensionRelationId && shared != NULL)
	{
		char	   *name = get_extension_name(object);

		if (name != NULL && strcmp(name, "defer") == 0)
			xact_notify_rescan();
	}
	if (prev_object_access != NULL)
		prev_object_access(access, class, object, sub, arg);
}

void
database_ddl_init(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = ddl_process_utility;
	prev_object_access = object_access_hook;
	object_access_hook = ddl_object_access;
}
