/*
 * test_lost_jobs.c
 *		Jobs that were lost with their workers, while recovery finalizes others.
 */
#include "harness.h"
#include "pure/lost_jobs.h"

/* Lose that many, copy the list, lose some more, and forget those of the copy */
static void
test_late(int before, int late)
{
	LostJobs	jobs = {0};
	LostJobs	copy;
	int			missed = 0;

	for (int i = 1; i <= before; i++)
		lost_jobs_add(&jobs, i);
	copy = jobs;
	for (int i = 1; i <= before; i++)
		missed += !lost_jobs_has(&copy, i, true);
	check(missed == 0, "of %d jobs %d are not known as lost", before, missed);
	check(lost_jobs_has(&copy, before + 1, true) == (before > LOST_MAX),
		  "%d jobs: another one may be one of them only if not all are known", before);

	for (int i = 1; i <= late; i++)
		lost_jobs_add(&jobs, before + i);
	lost_jobs_forget(&jobs, copy.n);
	for (int i = 1; i <= late; i++)
		missed += !lost_jobs_has(&jobs, before + i, true);
	check(missed == 0, "%d jobs came after %d, of which %d are not known as lost", late, before, missed);
	check(late > 0 || !lost_jobs_has(&jobs, 1, true), "none of %d jobs is left", before);
	check(before + late > LOST_MAX || before == 0 || !lost_jobs_has(&jobs, before, true),
		  "%d jobs are forgotten, %d came after them", before, late);

	/* the next copy has all that are left */
	copy = jobs;
	lost_jobs_forget(&jobs, copy.n);
	check(jobs.n == 0, "%d are left in the end", jobs.n);
}

void
test_lost_jobs(void)
{
	for (int before = 0; before <= 3 * LOST_MAX; before++)
	{
		for (int late = 0; late <= 3 * LOST_MAX; late++)
			test_late(before, late);
	}
}
