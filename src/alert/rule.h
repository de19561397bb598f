/*
 * rule.h
 *		What the files share that make messages of alerts: alert/turns.c decides which
 *		rules have their turn, alert/collect.c reads rules and events, alert/message.c
 *		words and enqueues the message, alert/conditions.c looks at conditions that
 *		no job's end tells of.
 */
#ifndef DEFER_ALERT_RULE_H
#define DEFER_ALERT_RULE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "nodes/pg_list.h"

/* What one message tells of (rows), and how long its parts may be (bytes) */
#define SUBJECTS_MAX	20
#define SAMPLES_MAX		5
#define ERROR_MAX		300
#define ARGS_MAX		200

/* An alert */
typedef struct AlertRule
{
	int32		id;
	char	   *name;
	Oid			owner;
	char	   *endpoint;		/* NULL: none */
	Oid			endpoint_owner;
	TimestampTz endpoint_created_at;	/* of the endpoint now; 0: it is gone */
	char	   *kind;			/* of the endpoint now; "email" without one;
								 * NULL: it is gone */
	Datum		recipients;		/* text[]; 0: none */
	int64		window;
	bool		recovered;
	bool		show_args;
	int64		backlog;		/* -1: not about that */
	int64		step_waits;		/* likewise */
	TimestampTz waits_told;		/* steps that began to wait up to then were
								 * looked at */
	char	   *function;		/* that it is about; NULL: any */
	bool		workers;
	TimestampTz first;			/* event; DT_NOEND: there is none */
	TimestampTz until;			/* the last event that is sent now */
} AlertRule;

/* Events of one kind about one subject */
typedef struct AlertSubject
{
	char		kind;
	char	   *name;
	int64		count;
	char	   *message;		/* of the last of them; NULL: none */
	TimestampTz last;
} AlertSubject;

/* One of the jobs */
typedef struct AlertSample
{
	int64		job_id;
	char		kind;
	char	   *function;
	char	   *args;			/* NULL: none, or not to be shown */
	char	   *error;
	char	   *sqlstate;
	int32		attempts;
	double		seconds;		/* negative: it was not begun */
} AlertSample;

/* Columns of the rows that SPI has, from 1 on */
static inline bool
spi_is_null(int row, int column)
{
	bool		isnull;

	(void) SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
	return isnull;
}

static inline Datum
spi_value(int row, int column)
{
	bool		isnull;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
}

/* Read all rules, in SPI */
extern List *alert_rules_read(void);

/*
 * Lock the row of a rule, which is to be changed.  Returns false if another session has
 * it: that may keep it for as long as it likes, and holds up this rule alone.
 */
extern bool alert_rule_lock(const AlertRule *rule);

/* Make messages of the events of a rule, up to a number of them, and delete those */
extern void alert_rule_send(AlertRule *rule);

/* Enqueue the message of a rule: about what happened, or about what has recovered */
extern void alert_message_enqueue(const AlertRule *rule, List *subjects, List *samples,
								  bool recovery);

/* Cut a text at a limit in bytes, between characters */
extern char *alert_clipped(char *text, int limit);

/* Record events of the conditions that a rule is about; returns when to look again */
extern TimestampTz alert_conditions_check(const AlertRule *rule, TimestampTz now);

/* Remember that a subject is failing, or not any more; returns whether that is news */
extern bool alert_set_failing(const AlertRule *rule, const char *subject, bool failing);

/* How often conditions are looked at (microseconds) */
#define CHECK_MIN		(1 * USECS_PER_SEC)
#define CHECK_MAX		(30 * USECS_PER_SEC)

#endif							/* DEFER_ALERT_RULE_H */
