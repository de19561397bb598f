/*
 * alert.h
 *		Alerts: alert/sql.c has the rules and notes what they are about, alert/send.c
 *		makes messages of it.
 */
#ifndef ALERT_H
#define ALERT_H

#include "base/job.h"

/* What an event is (alert_event.kind): a final state, or one of these */
#define EVENT_SKIPPED	'k'		/* a tick of a schedule that did not run */
#define EVENT_BACKLOG	'b'
#define EVENT_WORKERS	'w'
#define EVENT_RECOVERED 'r'

/* Instead of a function, of events that are about none */
#define BACKLOG_SUBJECT "(backlog)"
#define WORKERS_SUBJECT "(workers)"

/* alert/sql.c: somebody has a rule about jobs that end so, or may have */
extern bool alerts_wanted(char state);

/* alert/sql.c: a job has ended; in that transaction */
extern void alerts_note(const Job *job, char state, TimestampTz started_at);

/* alert/sql.c: a schedule that does not go on; in the transaction that sets it aside */
extern void alerts_note_schedule(Oid owner, const char *function, const char *message);

/* alert/sql.c: an event; in the caller's transaction */
extern void alert_event_insert(int32 alert, char kind, const char *subject, int64 job_id,
							   const char *message);

/* alert/sql.c: rules, or what is failing, have changed: everybody look again, at commit */
extern void alerts_changed(void);

/* alert/send.c: for the scheduler; returns when to come back */
extern TimestampTz alerts_maintain(TimestampTz now);

#endif							/* ALERT_H */
