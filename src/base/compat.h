/*
 * compat.h
 *		What differs between the PostgreSQL versions that defer compiles on
 *		(14 to 18), and nothing else.
 */
#ifndef DEFER_COMPAT_H
#define DEFER_COMPAT_H

#if PG_VERSION_NUM < 140000 || PG_VERSION_NUM >= 190000
#error "defer compiles on PostgreSQL 14 to 18"
#endif

#include "access/genam.h"
#include "access/tableam.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "commands/dbcommands.h"
#include "common/base64.h"
#if PG_VERSION_NUM >= 150000
#include "common/pg_prng.h"
#endif
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* 14 has no shmem_request_hook: shared memory is asked for in _PG_init */
#if PG_VERSION_NUM >= 150000
#define DEFER_HAVE_SHMEM_REQUEST_HOOK 1
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
compat_may_create_database(void)
{
#if PG_VERSION_NUM >= 150000
	return have_createdb_privilege();
#else
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	bool		may = superuser();

	if (HeapTupleIsValid(tuple))
	{
		may = may || ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}
	return may;
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
 * Table and index writes.  16 made "which indexes need a new entry" an enum
 * (and knows summarizing ones); 18 passes the tuple's own TID to the check.
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
#if PG_VERSION_NUM >= 160000
	return ExecInsertIndexTuples(info, slot, estate, update, no_error, conflict, arbiters,
								 only_summarizing);
#else
	return ExecInsertIndexTuples(info, slot, estate, update, no_error, conflict, arbiters);
#endif
}

static inline bool
compat_check_index_constraints(ResultRelInfo *info, TupleTableSlot *slot, EState *estate,
							   ItemPointer conflict, List *arbiters)
{
#if PG_VERSION_NUM >= 180000
	ItemPointerData none;

	ItemPointerSetInvalid(&none);
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

/* 18 counts index searches: index_beginscan has an argument for it */
static inline IndexScanDesc
compat_index_beginscan(Relation heap, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 180000
	return index_beginscan(heap, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(heap, index, snapshot, nkeys, 0);
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

/* A set-returning function that fills rsinfo->setResult; 15 has a helper for it */
static inline void
compat_materialize_srf(FunctionCallInfo fcinfo)
{
#if PG_VERSION_NUM >= 150000
	InitMaterializedSRF(fcinfo, 0);
#else
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) ||
		(rsinfo->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &rsinfo->setDesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = tuplestore_begin_heap((rsinfo->allowedModes & SFRM_Materialize_Random) != 0,
											  false, work_mem);
	MemoryContextSwitchTo(old);
#endif
}

/* A random number from 0 to less than 1; 15 has a generator of its own */
static inline double
compat_random(void)
{
#if PG_VERSION_NUM >= 150000
	return pg_prng_double(&pg_global_prng_state);
#else
	return (double) random() / ((double) MAX_RANDOM_VALUE + 1);
#endif
}

/* May a member become the role with SET ROLE?  16 tells that from inheriting */
static inline bool
compat_may_set_role(Oid member, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return member_can_set_role(member, role);
#else
	return is_member_of_role(member, role);
#endif
}

/* Analyze a statement with parameters of known types; 15 has named the variants apart */
static inline List *
compat_analyze_and_rewrite(RawStmt *stmt, const char *sql, Oid *types, int nparams)
{
#if PG_VERSION_NUM >= 150000
	return pg_analyze_and_rewrite_fixedparams(stmt, sql, types, nparams, NULL);
#else
	return pg_analyze_and_rewrite(stmt, sql, types, nparams, NULL);
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

/* A client's own process, and not one that works in the background? */
static inline bool
compat_is_client_process(const PGPROC *proc)
{
#if PG_VERSION_NUM >= 180000
	return proc->isRegularBackend;
#else
	return !proc->isBackgroundWorker;
#endif
}

#endif							/* DEFER_COMPAT_H */
