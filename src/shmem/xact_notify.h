/*
 * xact_notify.h
 *		What must reach other processes when this transaction commits; jobs that
 *		become ready are in xact_notify_job.h.
 *
 * All of these may be called many times in a transaction; nothing happens on
 * rollback.  They need constant memory, and throw nothing.
 */
#ifndef DEFER_XACT_NOTIFY_H
#define DEFER_XACT_NOTIFY_H

#include "postgres.h"

#include "datatype/timestamp.h"

extern void xact_notify_init(void); /* in _PG_init */

/*
 * The limit of a function ('f'), queue ('q') or endpoint ('e') is that now: LIMIT_NONE,
 * LIMIT_PAUSED or more
 */
extern void xact_notify_limit(char kind, int32 id, int32 limit, bool rated);

/* The settings of a group of one have changed; "group" is as limits_group_hash() gives it */
extern void xact_notify_group_limit(char kind, int32 id, int64 group);

/*
 * A job has ended that was in the order of a group, or it has left that: see
 * limits_order_changed()
 */
extern void xact_notify_order(char kind, int32 id, int64 group);

/* A schedule is due then */
extern void xact_notify_schedule(TimestampTz next_run_at);

/* A function has a schedule: it goes into the scheduled_set */
extern void xact_notify_scheduled_function(Oid function);

/* A job has ended: wake who awaits it */
extern void xact_notify_final(int64 job_id);

/* A run of a schedule has ended: the scheduler looks for those held behind it */
extern void xact_notify_release(void);

/* Ends of runs are to be counted, for pause_after_failures, or there is a new backfill */
extern void xact_notify_results(void);

/* There are new counts of batches, in defer.fan_out_delta */
extern void xact_notify_fan_out(void);

/*
 * A job was put behind that one, or that one has ended while a session may just
 * do so: the scheduler looks whether one waits for the end of a job that is over
 */
extern void xact_notify_behind(int64 ahead);

/* There are events for alerts, or other rules */
extern void xact_notify_alert(void);

/* So many new counts of finished jobs are to be added up */
extern void xact_notify_rollup(uint32 counts);

/* The scheduler reads all tables again (defer.activate(), COMMIT PREPARED) */
extern void xact_notify_rescan(void);

/* CREATE EXTENSION: the launcher starts a scheduler */
extern void xact_notify_installed(void);

/* The launcher looks which databases there are */
extern void xact_notify_probe(void);

#endif							/* DEFER_XACT_NOTIFY_H */
