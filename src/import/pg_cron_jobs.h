/*
 * pg_cron_jobs.h
 *		pg_cron as it is here, for import/import_pg_cron.c.
 */
#ifndef PG_CRON_JOBS_H
#define PG_CRON_JOBS_H

#include "postgres.h"

#include "pure/pg_cron/pg_cron_schedule.h"

/* A row of cron.job */
typedef struct PgCronJob
{
	int64		id;
	char	   *schedule;
	char	   *command;
	char	   *node;
	int32		port;
	char	   *database;
	char	   *user;
	bool		active;
	char	   *name;			/* NULL: it has none */
} PgCronJob;

/* What holds for all of them */
typedef struct PgCron
{
	bool		loaded;			/* the server has loaded the library */
	bool		has_active;		/* columns that cron.job has not always had */
	bool		has_name;
	PgCronRules rules;
	const char *zone;			/* that the jobs' times are in */
	uint64		njobs;
	PgCronJob  *jobs;			/* that the caller may see, by id */
} PgCron;

/*
 * Read it, in the current memory context.  Errors: it is not installed here, the
 * table is not its, the caller has no right to read it or, with "deactivate", to
 * switch jobs off.
 */
extern void pg_cron_open(PgCron *cron, bool deactivate);

/* Check whether this server runs the job */
extern bool pg_cron_is_here(const PgCronJob *job);

/* Switch it off, when the caller commits */
extern void pg_cron_switch_off(const PgCronJob *job);

#endif							/* PG_CRON_JOBS_H */
