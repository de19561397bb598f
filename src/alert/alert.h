/*
 * alert.h
 *		Alerts: alert/sql.c has the rules, table/alert_event.c records what they are
 *		about, alert/collect.c makes messages of it when alert/turns.c says so.
 */
#ifndef ALERT_H
#define ALERT_H

#include "datatype/timestamp.h"

/* Instead of a function, of events that are about none */
#define BACKLOG_SUBJECT "(backlog)"
#define WORKERS_SUBJECT "(workers)"

/* alert/turns.c: for the scheduler; returns when to come back */
extern TimestampTz alerts_maintain(TimestampTz now);

#endif							/* ALERT_H */
