/*
 * day_partition.c
 *		Finding the partition that a new row of defer.job_history, defer.attempt
 *		or defer.log belongs into.
 *
 * Rows are written directly into the partition of their day, which the
 * scheduler makes ahead of time, or into the default partition if the day has
 * none.  Only this file checks that a row satisfies the partition constraint.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/callbacks.h"
#include "base/catalog.h"
#include "table/day_partition.h"

/* The partition of a day, as last looked up; of each table the last one */
typedef struct KnownPartition
{
	int64		day;
	Oid			relation;		/* InvalidOid: to be looked up */
} KnownPartition;

static KnownPartition known_partitions[CAT_N];

static void
forget_partitions(Oid relation)
{
	for (int i = 0; i < CAT_N; i++)
	{
		if (relation == InvalidOid || known_partitions[i].relation == relation)
			known_partitions[i].relation = InvalidOid;
	}
}

void
day_partition_name(char *name, const char *parent, int64 day)
{
	int			year,
				month,
				dom;

	j2date((int) day + POSTGRES_EPOCH_JDATE, &year, &month, &dom);
	snprintf(name, NAMEDATALEN, "%s_p%04d%02d%02d", parent, year, month, dom);
}

/*
 * Look up the partition of a day by name.  The default partition is never
 * remembered, so that a partition made later is found.
 */
static Oid
look_up_partition(CatalogObject which, int64 day)
{
	KnownPartition *partition = &known_partitions[which];
	const char *parent = which == CAT_HISTORY_DEFAULT ? "job_history" :
		which == CAT_ATTEMPT_DEFAULT ? "attempt" : "log";
	Oid			fallback;
	char		name[NAMEDATALEN];
	Oid			found;

	if (OidIsValid(partition->relation) && partition->day == day)
		return partition->relation;
	fallback = catalog_oid(which);
	day_partition_name(name, parent, day);
	found = get_relname_relid(name, get_rel_namespace(fallback));
	if (!OidIsValid(found) || get_rel_relkind(found) != RELKIND_RELATION ||
		!get_rel_relispartition(found))
		return fallback;
	partition->relation = found;
	partition->day = day;
	return found;
}

/*
 * The partition may be made, attached or detached while we wait for the lock
 * of the one that was found before.  So look again once the lock is held, which
 * keeps the answer as it is: attaching a partition needs an exclusive lock of the
 * default partition, detaching one an exclusive lock of that.
 */
Relation
day_partition_open(CatalogObject which, TimestampTz at)
{
	const int64 day = day_of_time(at);

	defer_on_relcache_change(forget_partitions);
	for (;;)
	{
		Oid			found = look_up_partition(which, day);
		Relation	rel = try_relation_open(found, RowExclusiveLock);

		if (rel != NULL && look_up_partition(which, day) == found)
			return rel;
		if (rel != NULL)
			relation_close(rel, NoLock);
		else
			known_partitions[which].relation = InvalidOid;	/* it was dropped
															 * meanwhile */
	}
}
