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
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc.h"

/* 14 has no shmem_request_hook: shared memory is asked for in _PG_init */
#if PG_VERSION_NUM >= 150000
#define DEFER_HAVE_SHMEM_REQUEST_HOOK 1
#endif

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

/* 17 removed MyBackendId and added MyProcNumber; nothing here needs either */

/* 16 renamed AtEOXact_GUC's neighbours but not it; 18 moved NewGUCNestLevel's header */

/* index_insert: the indexUnchanged argument came with 14; stable since */

/* 18: portal, ExecInsertIndexTuples and plan cache signatures are handled where used */

#endif							/* DEFER_COMPAT_H */
