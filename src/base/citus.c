/*
 * citus.c
 *		What defer has to know of Citus: whether the database is a node, and which.
 *
 * Nothing of Citus is linked.  Its tables are read by their names, and its library is
 * known by one of its settings, which is there before ours is loaded: Citus has to be the
 * first in shared_preload_libraries.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_namespace.h"
#include "fmgr.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/callbacks.h"
#include "base/citus.h"

/* pg_dist_partition.repmodel of a table of which each node has a copy */
#define REFERENCE_TABLE	't'

bool		citus_loaded = false;

static Oid	local_group = InvalidOid;	/* pg_dist_local_group */
static int32 node = -1;			/* -1: not read yet */

void
citus_init(void)
{
	citus_loaded = GetConfigOption("citus.node_conninfo", true, false) != NULL;
}

static void
forget_node(Oid relation)
{
	if (relation == InvalidOid || relation == local_group)
	{
		local_group = InvalidOid;
		node = -1;
	}
}

bool
citus_here(void)
{
	if (!citus_loaded)
		return false;
	if (!OidIsValid(local_group))
	{
		defer_on_relcache_change(forget_node);
		local_group = get_relname_relid("pg_dist_local_group", PG_CATALOG_NAMESPACE);
	}
	return OidIsValid(local_group);
}

/* Read the only row of pg_dist_local_group */
static int32
read_node(void)
{
	Relation	relation = table_open(local_group, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, snapshot, 0, NULL);
	HeapTuple	tuple = systable_getnext(scan);
	bool		isnull = true;
	int32		found = 0;

	if (HeapTupleIsValid(tuple))
	{
		Datum		value = heap_getattr(tuple, 1, RelationGetDescr(relation), &isnull);

		found = isnull ? 0 : DatumGetInt32(value);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(relation, AccessShareLock);
	return Max(found, 0);
}

int32
citus_node(void)
{
	int32		found;

	if (!citus_here())
		return 0;
	if (node >= 0)
		return node;
	found = read_node();
	/* opening the table may have had the cache forgotten */
	if (OidIsValid(local_group))
		node = found;
	return found;
}

bool
citus_distributes(Oid table)
{
	Oid			catalog = get_relname_relid("pg_dist_partition", PG_CATALOG_NAMESPACE);
	AttrNumber	key;
	AttrNumber	model;
	Relation	relation;
	Snapshot	snapshot;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		distributes = false;

	if (!OidIsValid(catalog))
		return false;
	key = get_attnum(catalog, "logicalrelid");
	model = get_attnum(catalog, "repmodel");
	relation = table_open(catalog, AccessShareLock);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = systable_beginscan(relation, InvalidOid, false, snapshot, 0, NULL);
	while (!distributes && (tuple = systable_getnext(scan)) != NULL)
	{
		TupleDesc	desc = RelationGetDescr(relation);
		bool		isnull;

		distributes = DatumGetObjectId(heap_getattr(tuple, key, desc, &isnull)) == table &&
			DatumGetChar(heap_getattr(tuple, model, desc, &isnull)) != REFERENCE_TABLE;
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(relation, AccessShareLock);
	return distributes;
}

bool
citus_commit_in_two_phases(void)
{
	static bool looked = false;
	static void (*use_two_phases) (void) = NULL;

	/* a setting of its library, not one that a test or a file has made up */
	if (!looked && GetConfigOption("citus.version", true, false) != NULL)
		use_two_phases = (void (*) (void))
			load_external_function("citus", "Use2PCForCoordinatedTransaction", false, NULL);
	looked = true;
	if (use_two_phases == NULL)
		return false;
	use_two_phases();
	return true;
}
