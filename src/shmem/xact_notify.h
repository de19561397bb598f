/*
 * xact_notify.h
 *		What other processes must hear of when this transaction commits.
 *
 * All of these may be called many times in a transaction; nothing happens on
 * rollback.  They need constant memory, whatever the number of jobs.
 */
#ifndef DEFER_XACT_NOTIFY_H
#define DEFER_XACT_NOTIFY_H

#include "datatype/timestamp.h"

extern void xact_notify_job(Oid owner, int64 limits_key, int32 priority, TimestampTz run_at, int64 id);	/* a job may be taken from run_at on */
extern void xact_notify_limit(char kind, int32 id, int32 limit);	/* kind 'f' or 'q'; limit -1 none, 0 paused */
extern void xact_notify_schedule(TimestampTz next_run_at);	/* scheduler, look again then */
extern void xact_notify_final(int64 job_id);	/* wake who awaits it */
extern void xact_notify_scheduled_function(Oid function);	/* function/direct_call_check.c's set grows */
extern void xact_notify_release(void);	/* a schedule's run has ended: look for held ones */
extern void xact_notify_installed(void);	/* CREATE EXTENSION */
extern void xact_notify_alert(void);	/* scheduler, look at alerts */
extern void xact_notify_rollup(uint32 counts);	/* scheduler, so many are to be added up */
extern void xact_notify_probe(void);	/* launcher, look which databases there are */
extern void xact_notify_rescan(void);	/* scheduler, look at all tables again (activate()) */
extern void xact_notify_init(void);

#endif							/* DEFER_XACT_NOTIFY_H */
