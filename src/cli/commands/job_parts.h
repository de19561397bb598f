/*
 * job_parts.h
 *		Parts of "defer job": steps, what the job comes after, its batch.
 *		$1 of each statement is the id.
 */
#ifndef CLI_JOB_PARTS_H
#define CLI_JOB_PARTS_H

#include "libpq-fe.h"

#define JOB_AFTER_SQL \
	"SELECT d.after_id, d.batch, d.after_failure," \
	" CASE WHEN NOT d.batch THEN COALESCE(d.state, j.state) WHEN d.open THEN 'unfinished' ELSE 'done' END AS state," \
	" j.function, d.open" \
	" FROM defer.dependencies d LEFT JOIN defer.jobs j ON j.id = d.after_id" \
	" WHERE d.job_id = $1::pg_catalog.int8 ORDER BY d.ord LIMIT 100"

/* attempts: that have come as far as the step, and no further unless they have done it */
#define JOB_STEPS_SQL \
	"SELECT s.name, s.kind, s.state, 1 + (SELECT pg_catalog.count(*) FROM defer.attempts a WHERE a.job_id = $1::pg_catalog.int8" \
	" AND a.finished_at > s.after AND a.finished_at <= COALESCE(s.finished_at, 'infinity')) AS attempts," \
	" s.result, s.started_at, s.finished_at," \
	" EXTRACT(epoch FROM COALESCE(s.finished_at, pg_catalog.statement_timestamp()) - s.started_at)::pg_catalog.float8 AS duration," \
	" s.awaits, s.until" \
	" FROM (SELECT x.*, pg_catalog.lag(x.finished_at, 1, '-infinity') OVER (ORDER BY x.finished_at, x.ord) AS after" \
	" FROM defer.steps x WHERE x.job_id = $1::pg_catalog.int8) s ORDER BY s.started_at, s.ord"

#define JOB_BATCH_SQL \
	"SELECT b.jobs, b.unfinished, b.succeeded, b.failed, b.cancelled, b.discarded, b.done, b.deep" \
	" FROM defer.batches b WHERE b.job_id = $1::pg_catalog.int8"

extern void job_print_steps(PGconn *conn, const char *id);
extern void job_print_after(PGconn *conn, const char *id);
extern void job_print_batch(PGconn *conn, const char *id);

#endif							/* CLI_JOB_PARTS_H */
