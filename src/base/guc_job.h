/*
 * guc_job.h
 *		The settings of jobs in postgresql.conf: base/guc.c defines them.
 */
#ifndef DEFER_GUC_JOB_H
#define DEFER_GUC_JOB_H

extern bool defer_synchronous_commit;
extern char *defer_distributed_job; /* the only one of a session: see
									 * job/distributed.c */
extern int	defer_max_crashes;
extern int	defer_log_level;	/* an elevel */
extern int	defer_max_payload;	/* kB */
extern int	defer_event_retention;	/* minutes; 0: forever */
extern bool defer_run_superuser_jobs;

#endif							/* DEFER_GUC_JOB_H */
