/*
 * crashed_jobs.h
 *		Jobs that had begun when the server crashed: job/crashed_jobs.c.
 */
#ifndef DEFER_CRASHED_JOBS_H
#define DEFER_CRASHED_JOBS_H

#include "postgres.h"

/*
 * Deal with those of this database, each in a transaction of its own.  *nfreed is
 * increased by the jobs set free.  Returns false if some have to be looked at again.
 */
extern bool crashed_jobs_settle(int *nfreed);

#endif							/* DEFER_CRASHED_JOBS_H */
