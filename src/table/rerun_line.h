/*
 * rerun_line.h
 *		Lines: a job and all of its reruns.
 */
#ifndef RERUN_LINE_H
#define RERUN_LINE_H

#include "base/job.h"

/* The first job of the line of reruns that a job is in */
static inline int64
rerun_line_of(const Job *job)
{
	return job->rerun_of != 0 ? job->rerun_of : job->id;
}

/* How a line stands, as it was written by rerun_line_write() */
typedef struct RerunLine
{
	int64		last_id;		/* the job that was made, or taken on again,
								 * last; at first that of the line */
	bool		retried;		/* that was taken on again */
} RerunLine;

/*
 * Lock the row of a line, which is made if there is none: the line does not change before
 * our transaction ends.  Waits for sessions that have done the same.  Write it, and close
 * the open failures of the line.
 */
extern void rerun_line_lock(int64 line, Oid owner, RerunLine *state);
extern void rerun_line_write(int64 line, const RerunLine *state);

/* Delete rows that were written before that time; in SPI, as the extension's owner */
extern void rerun_line_forget(TimestampTz before);

#endif							/* RERUN_LINE_H */
