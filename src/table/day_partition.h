/*
 * day_partition.h
 *		The partitions of defer.job_history, attempt and log, one for each UTC day:
 *		table/day_partition.c finds them, table/partitions.c makes and drops them.
 */
#ifndef DAY_PARTITION_H
#define DAY_PARTITION_H

#include "datatype/timestamp.h"
#include "utils/elog.h"
#include "utils/relcache.h"

#include "base/catalog.h"

/* Returns the number of the UTC day of a time, counted from 2000-01-01 */
static inline int64
day_of_time(TimestampTz at)
{
	return at / USECS_PER_DAY - (at % USECS_PER_DAY < 0 ? 1 : 0);
}

/* Write the name of the partition for a day; "name" has NAMEDATALEN bytes */
extern void day_partition_name(char *name, const char *parent, int64 day);

/*
 * Open and lock (RowExclusiveLock) the partition that a row of that time
 * belongs into.  "which" names the default partition, which is opened where
 * the day has none.  The lock is kept to the end of the transaction.
 */
extern Relation day_partition_open(CatalogObject which, TimestampTz at);

/*
 * Make the partitions of the coming days and drop expired ones.  Called outside
 * a transaction.  Returns when to call it again, DT_NOEND: when something has
 * happened in the database.  An error is reported, and left in *error, which
 * is NULL otherwise; it does not keep the other tables from theirs.
 */
extern TimestampTz partitions_maintain(TimestampTz now, ErrorData **error);

#endif							/* DAY_PARTITION_H */
