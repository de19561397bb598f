/*
 * alert_event.h
 *		Rows of defer.alert_event, as ends of jobs write them: table/alert_event.c.
 */
#ifndef ALERT_EVENT_H
#define ALERT_EVENT_H

#include "base/job.h"

/* What an event is (alert_event.kind): a final state, or one of these */
#define EVENT_RETRIED	't'		/* an attempt that failed, and not for good */
#define EVENT_SKIPPED	'k'		/* a tick of a schedule that did not run */
#define EVENT_WAITS		'e'		/* a step that waits for long */
#define EVENT_BACKLOG	'b'
#define EVENT_WORKERS	'w'
#define EVENT_RECOVERED 'r'

/* Check whether any rule is about jobs that end so, or are retried.  May read the rules */
extern bool alert_event_wanted(char state);

/* Record that a job has ended, for the rules that want it; in that transaction */
extern void alert_event_record(const Job *job, char state, TimestampTz started_at);

/* Record that an attempt has failed and the job is tried again, for the rules that want it */
extern void alert_event_record_retry(const Job *job, int32 attempt, const char *error);

/* Record that a schedule does not go on; in the transaction that suspends it */
extern void alert_event_record_schedule(Oid owner, const char *function, const char *message);

/* Insert an event, in the caller's transaction */
extern void alert_event_insert(int32 alert, char kind, const char *subject, int64 job_id,
							   const char *message);

/*
 * Rules, or failing conditions, have changed: all processes read them again,
 * at commit
 */
extern void alert_rules_changed(void);

/* The bits of an array of names of final states; -1: one of them is none */
extern int	alert_states_of_array(Datum array);

#endif							/* ALERT_EVENT_H */
