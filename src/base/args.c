/*
 * args.c
 *		Arguments of SQL functions that many files read in the same way.
 */
#include "postgres.h"

#include "common/int.h"
#include "datatype/timestamp.h"

#include "base/args.h"

void
require_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("\"%s\" must not be null", name)));
}

int64
setting_interval(const char *name, const Interval *interval)
{
	int64		days = (int64) interval->month * DAYS_PER_MONTH + interval->day;
	int64		result;

	/* from 17 on infinite intervals exist: they overflow here */
	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &result) ||
		pg_add_s64_overflow(result, interval->time, &result) ||
		result > SETTING_TIME_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INTERVAL_FIELD_OVERFLOW),
				 errmsg("\"%s\" is out of range", name),
				 errhint("It is at most 100 years.")));
	if (result < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be negative", name),
				 errhint("Give a length of time, such as '90 seconds'.")));
	return result;
}
