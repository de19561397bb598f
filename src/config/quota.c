/*
 * quota.c
 *		How many rows of one kind a role may have.
 *
 * What roles make for themselves is read by processes that serve all of them:
 * the scheduler reads due schedules and the limits of functions and queues,
 * views of functions read all their settings, each process that ends jobs reads
 * all alerts.  A bound for each role keeps one
 * of them from holding up the others.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"

#include "base/guc.h"
#include "base/own_sql.h"
#include "config/quota.h"

void
quota_check(const char *table, const char *plural, Oid owner)
{
	Oid			types[] = {REGROLEOID, INT8OID};
	Datum		values[] = {ObjectIdGetDatum(owner), Int64GetDatum(defer_max_objects_per_role)};
	OwnSql		own;
	uint64		n;
	char	   *sql;

	if (superuser_arg(owner))
		return;
	sql = psprintf("SELECT FROM defer.%s t WHERE t.owner OPERATOR(pg_catalog.=) $1 LIMIT $2", table);
	own_sql_begin(&own);
	SPI_connect();
	n = own_sql_run(sql, lengthof(types), types, values, NULL, SPI_OK_SELECT);
	SPI_finish();
	own_sql_end(&own);
	if (n >= (uint64) defer_max_objects_per_role)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("role \"%s\" has too many %s", GetUserNameFromId(owner, false), plural),
				 errdetail("It may have %d of them.", defer_max_objects_per_role),
				 errhint("Remove some, or have the administrator raise defer.max_objects_per_role.")));
}
