/*
 * guc.h
 *		The settings in postgresql.conf.
 */
#ifndef DEFER_GUC_H
#define DEFER_GUC_H

/* Most deliveries that a database has under way at a time: maximum of defer.max_deliveries */
#define TRANSFERS_MAX	2048

extern int	defer_max_workers;
extern int	defer_shared_slots;
extern bool defer_enabled;
extern int	defer_worker_idle_timeout;	/* ms */
extern int	defer_retention;	/* minutes */
extern bool defer_synchronous_commit;
extern int	defer_max_crashes;
extern int	defer_log_level;	/* an elevel */
extern int	defer_max_payload;	/* kB */
extern bool defer_run_superuser_jobs;
extern int	defer_max_deliveries;
extern int	defer_max_objects_per_role;
extern char *defer_smtp_url;
extern char *defer_smtp_from;
extern char *defer_http_allow;
extern char *defer_http_ca_file;
extern void guc_define(void);

#endif							/* DEFER_GUC_H */
