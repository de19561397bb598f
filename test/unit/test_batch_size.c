/*
 * test_batch_size.c
 *		How many jobs a worker takes at a time.
 */
#include "process/batch_size.h"

#include "harness.h"

/* n batches of jobs that take so many microseconds each; returns the size after them */
static int
size_after(BatchSizing *sizing, int n, int64_t each, int32_t priority, bool flushed, int64_t now)
{
	int			size = 1;

	for (int i = 0; i < n; i++)
	{
		BatchRun	last = {priority, flushed, size, size, each * size, now};

		size = batch_size_next(sizing, &last, 500);
		check(size >= 1 && size <= 500 && size <= last.max * 4, "size %d after %d", size, last.max);
	}
	return size;
}

void
test_batch_size(void)
{
	BatchSizing sizing = {0};

	check(size_after(&sizing, 20, 20, 0, false, 1) == 500, "quick jobs: as many as may be");
	sizing = (BatchSizing) {0};
	check(size_after(&sizing, 20, 1000, 0, false, 1) == 10, "1 ms each: 10 ms together");
	sizing = (BatchSizing) {0};
	check(size_after(&sizing, 20, 1000, 0, true, 1) == 40, "1 ms each, flushed: 40 ms together");
	sizing = (BatchSizing) {0};
	check(size_after(&sizing, 20, 3600 * INT64_C(1000000), 0, false, 1) == 1, "an hour each: one by one");
	check(size_after(&sizing, 80, 1000, 0, false, 1) == 10, "slow ones are forgotten");
	(void) size_after(&sizing, 1, 1000, 5, false, 100);
	check(size_after(&sizing, 20, 1000, 5, false, 101) == 3, "several priorities: 3 ms together");
	check(size_after(&sizing, 20, 1000, 5, false, INT64_C(40000000)) == 10, "for half a minute");
	sizing = (BatchSizing) {0};
	check(size_after(&sizing, 20, 0, 0, false, 1) == 500, "jobs that take no time");
}
