/*
 * duration_histogram.c
 *		How long jobs took, as numbers of jobs in classes of durations.
 *
 * A class is a quarter of a doubling wide, so that a percentile that is
 * read off it is off by a few percent at most.  Class 0 is less than a
 * microsecond.  In tables only the classes with jobs in them are kept, as an
 * array of pairs: class, number of jobs, class, number of jobs, ..., with the
 * classes rising.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/int.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "table/rollup.h"

#define CLASSES_A_DOUBLING	4

PG_FUNCTION_INFO_V1(defer_durations);
PG_FUNCTION_INFO_V1(defer_merge_durations);
PG_FUNCTION_INFO_V1(defer_duration_percentile);
PG_FUNCTION_INFO_V1(defer_duration_class);

int
duration_class(int64 duration)
{
	if (duration < 1)
		return 0;
	return Min(1 + (int) floor(log2((double) duration) * CLASSES_A_DOUBLING), DURATION_CLASSES - 1);
}

Datum
defer_duration_class(PG_FUNCTION_ARGS)
{
	const Interval *interval = PG_GETARG_INTERVAL_P(0);
	double		duration = interval->time + (double) USECS_PER_DAY *
		(interval->day + 30.0 * interval->month);

	PG_RETURN_INT32(duration_class((int64) Max(0, Min(duration, (double) PG_INT64_MAX / 2))));
}

/* The shortest duration of a class, in microseconds */
static double
class_start(int class)
{
	return class == 0 ? 0 : exp2((double) (class - 1) / CLASSES_A_DOUBLING);
}

/* The pairs of an array, which a user may have made; n is their number */
static int64 *
read_pairs(ArrayType *array, int *n)
{
	int64	   *pairs = (int64 *) ARR_DATA_PTR(array);

	if (ARR_NDIM(array) == 0)
	{
		*n = 0;
		return pairs;
	}
	if (ARR_NDIM(array) != 1 || ARR_HASNULL(array) || ARR_DIMS(array)[0] % 2 != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("durations must be an array of pairs without NULLs")));
	*n = ARR_DIMS(array)[0] / 2;
	for (int i = 0; i < *n; i++)
	{
		if (pairs[2 * i] < 0 || pairs[2 * i] >= DURATION_CLASSES || pairs[2 * i + 1] < 0 ||
			(i > 0 && pairs[2 * i] <= pairs[2 * i - 2]))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("durations must be pairs of a class, 0 to %d and rising, and a number of jobs",
							DURATION_CLASSES - 1)));
	}
	return pairs;
}

static ArrayType *
make_pairs(const int64 *pairs, int n)
{
	ArrayType  *array;
	Size		bytes = ARR_OVERHEAD_NONULLS(1) + n * 2 * sizeof(int64);

	if (n == 0)
		return construct_empty_array(INT8OID);
	array = palloc0(bytes);
	SET_VARSIZE(array, bytes);
	array->ndim = 1;
	array->elemtype = INT8OID;
	ARR_DIMS(array)[0] = n * 2;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ARR_DATA_PTR(array), pairs, n * 2 * sizeof(int64));
	return array;
}

static int64
add_counts(int64 a, int64 b)
{
	int64		sum;

	if (pg_add_s64_overflow(a, b, &sum))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("number of jobs is out of range")));
	return sum;
}

/* So many jobs of one class, -1: of none */
Datum
defer_durations(PG_FUNCTION_ARGS)
{
	int64		pair[2] = {PG_GETARG_INT32(0), PG_GETARG_INT64(1)};
	ArrayType  *array;
	int			n;

	if (pair[0] < 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(INT8OID));
	array = make_pairs(pair, 1);
	(void) read_pairs(array, &n);	/* checks that they are in range */
	PG_RETURN_ARRAYTYPE_P(array);
}

/* The jobs of both */
Datum
defer_merge_durations(PG_FUNCTION_ARGS)
{
	int64		merged[DURATION_CLASSES * 2];
	int			na,
				nb;
	int64	   *a = read_pairs(PG_GETARG_ARRAYTYPE_P(0), &na);
	int64	   *b = read_pairs(PG_GETARG_ARRAYTYPE_P(1), &nb);
	int			i = 0;
	int			j = 0;
	int			n = 0;

	while (i < na || j < nb)
	{
		if (j == nb || (i < na && a[2 * i] < b[2 * j]))
		{
			merged[2 * n] = a[2 * i];
			merged[2 * n + 1] = a[2 * i + 1];
			i++;
		}
		else if (i == na || b[2 * j] < a[2 * i])
		{
			merged[2 * n] = b[2 * j];
			merged[2 * n + 1] = b[2 * j + 1];
			j++;
		}
		else
		{
			merged[2 * n] = a[2 * i];
			merged[2 * n + 1] = add_counts(a[2 * i + 1], b[2 * j + 1]);
			i++;
			j++;
		}
		n++;
	}
	PG_RETURN_ARRAYTYPE_P(make_pairs(merged, n));
}

/*
 * The duration that this part of the jobs stayed below, as if those of a class
 * were spread evenly over it; NULL when there are none.
 */
Datum
defer_duration_percentile(PG_FUNCTION_ARGS)
{
	int			n;
	int64	   *pairs = read_pairs(PG_GETARG_ARRAYTYPE_P(0), &n);
	double		part = PG_GETARG_FLOAT8(1);
	int64		total = 0;
	double		wanted;
	double		before = 0;
	Interval   *result;

	if (isnan(part) || part < 0 || part > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("percentile must be between 0 and 1")));
	for (int i = 0; i < n; i++)
		total = add_counts(total, pairs[2 * i + 1]);
	if (total == 0)
		PG_RETURN_NULL();
	wanted = part * total;
	result = palloc0(sizeof(Interval));
	for (int i = 0; i < n; i++)
	{
		double		start = class_start(pairs[2 * i]);
		double		width = class_start(pairs[2 * i] + 1) - start;
		double		count = pairs[2 * i + 1];

		if (count == 0)
			continue;
		result->time = (int64) (start + width * Min((wanted - before) / count, 1.0));
		if (before + count >= wanted)
			break;
		before += count;
	}
	PG_RETURN_INTERVAL_P(result);
}
