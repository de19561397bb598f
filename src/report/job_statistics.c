/*
 * job_statistics.c
 *		defer.job_statistics() and defer.statistics_bounds(): the counters of
 *		shmem/statistics.c as rows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/roles.h"
#include "shmem/statistics.h"

PG_FUNCTION_INFO_V1(defer_job_statistics);
PG_FUNCTION_INFO_V1(defer_statistics_bounds);

#define NCOLUMNS	(3 + STATISTICS_STATES + 1 + STATISTICS_OUTCOMES + 4)

static Datum
histogram(const int64 *counters)
{
	Datum		values[STATISTICS_BUCKETS];

	for (int i = 0; i < STATISTICS_BUCKETS; i++)
		values[i] = Int64GetDatum(counters[i]);
	return PointerGetDatum(construct_array(values, STATISTICS_BUCKETS, INT8OID, 8,
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* The counters of this database, of roles that the caller may see */
Datum
defer_job_statistics(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	StatisticsCounters *copies;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	n = statistics_copy(MyDatabaseId, &copies);
	for (int i = 0; i < n; i++)
	{
		const StatisticsCounters *copy = &copies[i];
		Datum		values[NCOLUMNS];
		bool		nulls[NCOLUMNS] = {0};
		int			column = 0;

		if (!role_may_see(copy->owner))
			continue;
		values[column++] = ObjectIdGetDatum(copy->owner);
		values[column++] = CStringGetTextDatum(copy->function);
		values[column++] = CStringGetTextDatum(copy->queue);
		for (int j = COUNT_STATES; j < COUNT_DURATIONS; j++)
			values[column++] = Int64GetDatum(copy->counters[j]);
		values[column++] = histogram(&copy->counters[COUNT_DURATIONS]);
		values[column++] = Float8GetDatum(copy->counters[COUNT_DURATION_SUM] / 1e6);
		values[column++] = histogram(&copy->counters[COUNT_DELAYS]);
		values[column++] = Float8GetDatum(copy->counters[COUNT_DELAY_SUM] / 1e6);
		Assert(column == NCOLUMNS);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	if (copies != NULL)
		pfree(copies);
	return (Datum) 0;
}

/* The upper bounds of the histograms' buckets but the last, in seconds */
Datum
defer_statistics_bounds(PG_FUNCTION_ARGS)
{
	Datum		values[STATISTICS_BUCKETS - 1];

	for (int i = 0; i < lengthof(values); i++)
		values[i] = Float8GetDatum(statistics_bounds[i] / 1e6);
	PG_RETURN_ARRAYTYPE_P(construct_array(values, lengthof(values), FLOAT8OID, 8,
										  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
