/*
 * alert.h
 *		Alerts: alert.c has the rules and notes what they are about, alert_send.c
 *		makes messages of it.
 */
#ifndef ALERT_H
#define ALERT_H

#include "defer.h"

/* What an event is (alert_event.kind): a final state, or one of these */
#define EVENT_SKIPPED	'k'		/* a tick of a schedule that did not run */
#define EVENT_BACKLOG	'b'
#define EVENT_WORKERS	'w'
#define EVENT_RECOVERED 'r'

/* Instead of a function, of events that are about none */
#define BACKLOG_SUBJECT "(backlog)"
#define WORKERS_SUBJECT "(workers)"

/* alert.c: somebody has a rule about jobs that end so, or may have */
extern bool alerts_wanted(char state);

/* alert.c: a job has ended; in that transaction */
extern void alerts_note(const Job *job, char state, TimestampTz started_at);

/* alert.c: a schedule that does not go on; in the transaction that sets it aside */
extern void alerts_note_schedule(Oid owner, const char *function, const char *message);

/* alert.c: an event; in the caller's transaction */
extern void alert_event_insert(int32 alert, char kind, const char *subject, int64 job_id,
							   const char *message);

/* alert.c: rules, or what is failing, have changed: everybody look again, at commit */
extern void alerts_changed(void);

/* alert_send.c: for the scheduler; returns when to come back */
extern TimestampTz alerts_maintain(TimestampTz now);

#endif							/* ALERT_H */
