/*
 * database_list.c
 *		Which databases of the server a scheduler may be in.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "process/database_list.h"

/* Check whether a scheduler may be in that database */
static bool
may_serve(Form_pg_database form)
{
	return form->datallowconn && !form->datistemplate;
}

List *
databases_to_serve(void)
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

		if (!may_serve(form))
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

bool
database_is_servable(Oid database, NameData *name)
{
	HeapTuple	tuple;
	bool		found = false;

	StartTransactionCommand();
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		found = may_serve(form);
		namestrcpy(name, NameStr(form->datname));
		ReleaseSysCache(tuple);
	}
	CommitTransactionCommand();
	return found;
}
