/*
 * failure_table.h
 *		Jobs that have failed for good, and what was done about it.
 */
#ifndef FAILURE_TABLE_H
#define FAILURE_TABLE_H

#include "base/job.h"

/* What was done about a failure (failure.closed) */
#define FAILURE_RERUN		'r'
#define FAILURE_RETRIED		't'
#define FAILURE_ACKNOWLEDGED 'a'

/*
 * Record that a job has failed for good, in the transaction that ends it.  Waits for no
 * other session.
 */
extern void failure_record(const Job *job, const char *sqlstate, const char *error);

/*
 * Note what was done about the failures of a line that are open, by the current user.
 * Returns how many there were.  Waits for sessions that do the same.
 */
extern int	failure_close(int64 line, char closed, const char *note);

/* Delete what is about jobs of before that time; in SPI, as the extension's owner */
extern void failure_forget(TimestampTz before);

#endif							/* FAILURE_TABLE_H */
