/*
 * show.h
 *		What several commands show: labelled lines, queues, running jobs, lists of jobs.
 */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "core/table.h"
#include "core/text.h"

#define SHOW_QUEUES_SQL \
	"SELECT q.queue, q.paused, q.concurrency, q.queued, q.running, q.retrying," \
	" q.scheduled, q.oldest_ready," \
	" EXTRACT(epoch FROM pg_catalog.statement_timestamp() - q.oldest_ready)" \
	"::pg_catalog.float8 AS oldest_ready_seconds" \
	" FROM defer.live_queues q ORDER BY q.queue"

#define SHOW_RUNNING_SQL \
	"SELECT j.id, j.function, j.args, j.queue, j.owner::pg_catalog.text AS owner," \
	" j.attempt, j.started_at, j.progress, j.pid," \
	" EXTRACT(epoch FROM j.duration)::pg_catalog.float8 AS duration" \
	" FROM defer.jobs j WHERE j.id = ANY" \
	" (ARRAY(SELECT r.job_id FROM defer.running_jobs() r))" \
	" AND j.state = 'running' ORDER BY j.started_at, j.id"

/* A job as --json and "defer job" show it; durations in seconds */
#define SHOW_JOB_COLUMNS \
	"j.id, j.state, j.function, j.args, j.queue, j.priority," \
	" j.owner::pg_catalog.text AS owner, j.run_at, j.enqueued_at, j.started_at," \
	" j.finished_at," \
	" EXTRACT(epoch FROM j.duration)::pg_catalog.float8 AS duration, j.attempt," \
	" j.max_attempts, j.result, j.error, j.sqlstate, j.key, j.group_key, j.metadata," \
	" j.parent_id, j.rerun_of, j.schedule, j.scheduled_for, j.discard_at, j.progress, j.pid, j.behind"

#define ALL_SERVERS_HELP \
	"      --all-servers      of all nodes of Citus\n"

extern void show_label(const char *name);
extern void show_field(const char *name, const char *value, TextMode mode);
extern void show_state(const char *state);
extern void show_progress(Buffer *out, double fraction, int width);
extern void show_queues(Table *table, const PGresult *res);
extern void show_running(Table *table, const PGresult *res);
extern void show_jobs(Table *table, const PGresult *res);

#endif							/* CLI_SHOW_H */
