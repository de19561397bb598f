/*
 * args.c
 *		Arguments of SQL functions that many files read in the same way.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
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

char *
args_text(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

char *
args_required_text(FunctionCallInfo fcinfo, int n, const char *name)
{
	require_argument(fcinfo, n, name);
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

int32
args_int32(FunctionCallInfo fcinfo, int n, const char *name)
{
	int64		value = PG_GETARG_INT64(n);

	if (value < PG_INT32_MIN || value > PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("\"%s\" is out of range", name),
				 errhint("It is an integer from %d to %d.", PG_INT32_MIN, PG_INT32_MAX)));
	return (int32) value;
}

void
args_text_array(Datum array, Datum **values, bool **nulls, int *n)
{
	ArrayType  *texts = DatumGetArrayTypeP(array);

	deconstruct_array(texts, ARR_ELEMTYPE(texts), -1, false, TYPALIGN_INT, values, nulls, n);
}

void
args_check_name(const char *object, const char *name, int max)
{
	int			length = strlen(name);

	if (length < 1 || length > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("%s name must be 1 to %d bytes long", object, max)));
	for (int i = 0; i < length; i++)
	{
		if ((unsigned char) name[i] < ' ' || name[i] == 0x7f)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_NAME),
					 errmsg("%s name must not contain control characters", object),
					 errdetail("Character %d is one.", pg_mbstrlen_with_len(name, i) + 1)));
	}
}
