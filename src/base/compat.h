/*
 * compat.h
 *		What differs between the PostgreSQL versions that defer compiles on
 *		(15 to 19), and nothing else.
 */
#ifndef DEFER_COMPAT_H
#define DEFER_COMPAT_H

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 200000
#error "defer compiles on PostgreSQL 15 to 19"
#endif

#include "access/genam.h"
#include "access/tableam.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/namespace.h"
#include "commands/dbcommands.h"
#include "common/base64.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "parser/parse_func.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

/*
 * This process' number among all possible ones, below MaxBackends; in 17 it
 * got a name
 */
static inline int
compat_process_number(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProcNumber;
#else
	return MyProc->pgprocno;
#endif
}

/* 19 hands the state of EXPLAIN to the planner and its hook: a parameter, an argument */
#if PG_VERSION_NUM >= 190000
#define COMPAT_PLANNER_PARAMETER	, struct ExplainState *explain
#define COMPAT_PLANNER_ARGUMENT		, explain
#else
#define COMPAT_PLANNER_PARAMETER
#define COMPAT_PLANNER_ARGUMENT
#endif

/* 18 made the bytes unsigned */
static inline int
compat_b64_encode(const void *bytes, int length, char *text, int room)
{
#if PG_VERSION_NUM >= 180000
	return pg_b64_encode((const uint8 *) bytes, length, text, room);
#else
	return pg_b64_encode((const char *) bytes, length, text, room);
#endif
}

static inline int
compat_b64_decode(const char *text, int length, void *bytes, int room)
{
#if PG_VERSION_NUM >= 180000
	return pg_b64_decode(text, length, (uint8 *) bytes, room);
#else
	return pg_b64_decode(text, length, (char *) bytes, room);
#endif
}

/* 16 merged the pg_*_aclcheck and pg_*_ownercheck families */
static inline bool
compat_may_execute(Oid function, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE) == ACLCHECK_OK;
#else
	return pg_proc_aclcheck(function, role, ACL_EXECUTE) == ACLCHECK_OK;
#endif
}

static inline bool
compat_may_use_schema(Oid schema, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, schema, role, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

static inline bool
compat_owns_function(Oid function, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(ProcedureRelationId, function, role);
#else
	return pg_proc_ownercheck(function, role);
#endif
}

static inline bool
compat_owns_database(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, role);
#else
	return pg_database_ownercheck(database, role);
#endif
}

static inline bool
compat_may_connect(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(DatabaseRelationId, database, role, ACL_CONNECT) == ACLCHECK_OK;
#else
	return pg_database_aclcheck(database, role, ACL_CONNECT) == ACLCHECK_OK;
#endif
}

/*
 * From 18 on, and in later minor releases of others, heapam asserts that there is a
 * snapshot when a row is written to a table whose values may be stored out of line,
 * also where none is used.
 */
#if PG_VERSION_NUM >= 180000 || defined(USE_ASSERT_CHECKING)
#define COMPAT_INSERT_NEEDS_SNAPSHOT true
#else
#define COMPAT_INSERT_NEEDS_SNAPSHOT false
#endif

/*
 * Table and index writes.  16 made "which indexes need a new entry" an enum
 * (and knows summarizing ones); 18 passes the tuple's own TID to the check; 19
 * made flags of the booleans and gave updates and deletions options.
 */
#if PG_VERSION_NUM >= 160000
typedef TU_UpdateIndexes CompatUpdateIndexes;
#define COMPAT_NO_INDEXES(update) ((update) == TU_None)
#define COMPAT_ONLY_SUMMARIZING(update) ((update) == TU_Summarizing)
#else
typedef bool CompatUpdateIndexes;
#define COMPAT_NO_INDEXES(update) (!(update))
#define COMPAT_ONLY_SUMMARIZING(update) false
#endif

static inline List *
compat_insert_index_tuples(ResultRelInfo *info, TupleTableSlot *slot, EState *estate,
						   bool update, bool no_error, bool *conflict, List *arbiters,
						   bool only_summarizing)
{
#if PG_VERSION_NUM >= 190000
	return ExecInsertIndexTuples(info, estate,
								 (update ? EIIT_IS_UPDATE : 0) |
								 (no_error ? EIIT_NO_DUPE_ERROR : 0) |
								 (only_summarizing ? EIIT_ONLY_SUMMARIZING : 0),
								 slot, arbiters, conflict);
#elif PG_VERSION_NUM >= 160000
	return ExecInsertIndexTuples(info, slot, estate, update, no_error, conflict, arbiters,
								 only_summarizing);
#else
	return ExecInsertIndexTuples(info, slot, estate, update, no_error, conflict, arbiters);
#endif
}

/*
 * Update a row.  Without "wait" TM_BeingModified is returned for a row that another
 * transaction has locked.  heap_update() does that, but no caller in the server asks
 * for it, and one with assertions refuses it: there the row is locked first.
 */
static inline TM_Result
compat_table_update(Relation rel, ItemPointer tid, TupleTableSlot *slot, CommandId command,
					bool wait, TM_FailureData *failure, LockTupleMode *lock_mode,
					CompatUpdateIndexes *indexes)
{
#ifdef USE_ASSERT_CHECKING
	if (!wait)
	{
		TupleTableSlot *locked = table_slot_create(rel, NULL);
		TM_Result	result = table_tuple_lock(rel, tid, GetLatestSnapshot(), locked, command,
											  LockTupleNoKeyExclusive, LockWaitSkip, 0, failure);

		ExecDropSingleTupleTableSlot(locked);
		if (result != TM_Ok)
			return result == TM_WouldBlock ? TM_BeingModified : result;
		wait = true;
	}
#endif
#if PG_VERSION_NUM >= 190000
	return table_tuple_update(rel, tid, slot, command, 0, InvalidSnapshot, InvalidSnapshot, wait,
							  failure, lock_mode, indexes);
#else
	return table_tuple_update(rel, tid, slot, command, InvalidSnapshot, InvalidSnapshot, wait,
							  failure, lock_mode, indexes);
#endif
}

static inline TM_Result
compat_table_delete(Relation rel, ItemPointer tid, CommandId command, bool wait,
					TM_FailureData *failure)
{
#if PG_VERSION_NUM >= 190000
	return table_tuple_delete(rel, tid, command, 0, InvalidSnapshot, InvalidSnapshot, wait,
							  failure);
#else
	return table_tuple_delete(rel, tid, command, InvalidSnapshot, InvalidSnapshot, wait,
							  failure, false);
#endif
}

/* From 19 on the row in conflict is fetched, by the snapshot of a query that we have none of */
static inline bool
compat_check_index_constraints(ResultRelInfo *info, TupleTableSlot *slot, EState *estate,
							   ItemPointer conflict, List *arbiters)
{
#if PG_VERSION_NUM >= 180000
	ItemPointerData none;

	ItemPointerSetInvalid(&none);
	estate->es_snapshot = SnapshotAny;
	return ExecCheckIndexConstraints(info, slot, estate, conflict, &none, arbiters);
#else
	return ExecCheckIndexConstraints(info, slot, estate, conflict, arbiters);
#endif
}

/* The number of a table's file, which changes when all of it is written anew; 16 has renamed it */
static inline Oid
compat_file_number(Relation rel)
{
#if PG_VERSION_NUM >= 160000
	return rel->rd_locator.relNumber;
#else
	return rel->rd_node.relNode;
#endif
}

/* 18 counts index searches; 19 gave scans flags */
static inline IndexScanDesc
compat_index_beginscan(Relation heap, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 190000
	return index_beginscan(heap, index, snapshot, NULL, nkeys, 0, SO_NONE);
#elif PG_VERSION_NUM >= 180000
	return index_beginscan(heap, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(heap, index, snapshot, nkeys, 0);
#endif
}

static inline TableScanDesc
compat_table_beginscan(Relation rel, Snapshot snapshot, int nkeys, ScanKey keys)
{
#if PG_VERSION_NUM >= 190000
	return table_beginscan(rel, snapshot, nkeys, keys, SO_NONE);
#else
	return table_beginscan(rel, snapshot, nkeys, keys);
#endif
}

/* 18 lets primary keys be deferrable, and asks whether that will do */
static inline Oid
compat_primary_key_index(Relation rel)
{
#if PG_VERSION_NUM >= 180000
	return RelationGetPrimaryKeyIndex(rel, false);
#else
	return RelationGetPrimaryKeyIndex(rel);
#endif
}

/*
 * Check whether a member may become the role with SET ROLE.  16 tells that
 * from inheriting
 */
static inline bool
compat_may_set_role(Oid member, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return member_can_set_role(member, role);
#else
	return is_member_of_role(member, role);
#endif
}

/* Run a portal to its end as a client's statement; 18 has dropped "run_once" */
static inline bool
compat_portal_run(Portal portal, DestReceiver *receiver, QueryCompletion *completion)
{
#if PG_VERSION_NUM >= 180000
	return PortalRun(portal, FETCH_ALL, true, receiver, receiver, completion);
#else
	return PortalRun(portal, FETCH_ALL, true, true, receiver, receiver, completion);
#endif
}

/* "schema.name" as a list; 16 has given it a way to report errors softly */
static inline List *
compat_qualified_name(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return stringToQualifiedNameList(name, NULL);
#else
	return stringToQualifiedNameList(name);
#endif
}

/* Drop the session's temporary replication slots; a macro, for who includes replication/slot.h */
#if PG_VERSION_NUM >= 170000
#define compat_drop_temporary_slots() ReplicationSlotCleanup(false)
#else
#define compat_drop_temporary_slots() ReplicationSlotCleanup()
#endif

/* Check, outside a transaction, whether the session holds no lock, such as an advisory one */
static inline bool
compat_holds_no_lock(const PGPROC *proc)
{
	for (int i = 0; i < NUM_LOCK_PARTITIONS; i++)
	{
#if PG_VERSION_NUM >= 160000
		if (!dlist_is_empty(&proc->myProcLocks[i]))
#else
		if (!SHMQueueEmpty(&proc->myProcLocks[i]))
#endif
			return false;
	}
	return true;
}

/*
 * Check whether this is the process of a client's session.  18 and 19 tell
 * otherwise.
 */
static inline bool
compat_is_client_process(const PGPROC *proc)
{
#if PG_VERSION_NUM >= 190000
	return proc->backendType == B_BACKEND;
#elif PG_VERSION_NUM >= 180000
	return proc->isRegularBackend;
#else
	return !proc->isBackgroundWorker;
#endif
}

/* A hash table in shared memory that never grows; 19 has dropped the initial size */
static inline HTAB *
compat_shmem_hash(const char *name, long size, HASHCTL *control)
{
#if PG_VERSION_NUM >= 190000
	return ShmemInitHash(name, size, control, HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
#else
	return ShmemInitHash(name, size, size, control, HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
#endif
}

/* All functions of a name; 19 also reports what it did not find */
static inline FuncCandidateList
compat_function_candidates(List *name)
{
#if PG_VERSION_NUM >= 190000
	int			flags;

	return FuncnameGetCandidates(name, -1, NIL, false, false, false, true, &flags);
#else
	return FuncnameGetCandidates(name, -1, NIL, false, false, false, true);
#endif
}

/* The function that the parser would choose for arguments of these types */
static inline FuncDetailCode
compat_function_detail(List *name, int ntypes, const Oid *types, Oid *function)
{
	List	   *defaults = NIL;
	Oid			result_type;
	Oid			variadic;
	Oid		   *true_types;
	bool		returns_set;
	int			nvariadic;

#if PG_VERSION_NUM >= 190000
	int			flags;

	return func_get_detail(name, NIL, NIL, ntypes, unconstify(Oid *, types), false, true, false,
						   &flags, function, &result_type, &returns_set, &nvariadic,
						   &variadic, &true_types, &defaults);
#else
	return func_get_detail(name, NIL, NIL, ntypes, unconstify(Oid *, types), false, true, false,
						   function, &result_type, &returns_set, &nvariadic, &variadic,
						   &true_types, &defaults);
#endif
}

/* In front of the declaration of a function that does not return: from 18 on */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* Wait events of libraries have names from 17 on */
#if PG_VERSION_NUM >= 170000
#define COMPAT_WAIT_EVENT_NAMES
#endif

/* The setting log_min_messages of this process; 19 has one for each type of process */
#if PG_VERSION_NUM >= 190000
#define compat_log_min_messages (log_min_messages[MyBackendType])
#else
#define compat_log_min_messages log_min_messages
#endif

/*
 * Builds a jsonb value piece by piece; begin with one set to zeros.  Each push
 * returns the whole value so far, which is complete after the outermost END.
 * 19 keeps that result itself.
 */
#if PG_VERSION_NUM >= 190000
typedef JsonbInState JsonbBuilder;
#else
typedef struct JsonbBuilder
{
	JsonbParseState *parseState;
	JsonbValue *result;
} JsonbBuilder;
#endif

static inline JsonbValue *
jsonb_push(JsonbBuilder *builder, JsonbIteratorToken token, JsonbValue *value)
{
#if PG_VERSION_NUM >= 190000
	pushJsonbValue(builder, token, value);
#else
	builder->result = pushJsonbValue(&builder->parseState, token, value);
#endif
	return builder->result;
}

/* transaction_timeout is there from 17 on */
#if PG_VERSION_NUM >= 170000
#define COMPAT_TRANSACTION_TIMEOUT
#endif

/*
 * Turn off transaction_timeout, from 17 on: it would end this process, which is not the
 * administrator's aim.  Returns what it was (milliseconds).
 */
static inline int
compat_transaction_timeout_off(void)
{
#ifdef COMPAT_TRANSACTION_TIMEOUT
	int			timeout = TransactionTimeout;

	if (timeout > 0)
		SetConfigOption("transaction_timeout", "0", PGC_USERSET, PGC_S_OVERRIDE);
	return timeout;
#else
	return 0;
#endif
}

#endif							/* DEFER_COMPAT_H */
