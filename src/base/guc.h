/*
 * guc.h
 *		The settings in postgresql.conf; those of jobs and of deliveries are in
 *		guc_job.h and guc_delivery.h.
 */
#ifndef DEFER_GUC_H
#define DEFER_GUC_H

extern int	defer_max_workers;
extern int	defer_shared_slots;
extern int	defer_max_leases;
extern bool defer_enabled;
extern int	defer_worker_idle_timeout;	/* ms */
extern int	defer_retention;	/* minutes */
extern int	defer_max_objects_per_role;
extern void guc_define(void);

#endif							/* DEFER_GUC_H */
