/*
 * job_filter.h
 *		Options that say which jobs, as those of defer.find_jobs():
 *		commands/job_filter.c.
 */
#ifndef CLI_JOB_FILTER_H
#define CLI_JOB_FILTER_H

#include <libpq-fe.h>

#include "core/options.h"

typedef struct JobFilter
{
	const char *states;
	const char *function;
	const char *queue;
	const char *group;
	const char *schedule;
	const char *owner;
	const char *parent;
	const char *metadata;
	const char *error;
	const char *fingerprint;
	const char *args;
	const char *key;
	const char *since;
	const char *until;
	const char *before;
} JobFilter;

extern JobFilter job_filter;

/* function_letter: 0, where another option has the letter */
#define JOB_FILTER_OPTIONS(function_letter) \
	{"state", 's', OPTION_TEXT, &job_filter.states}, \
	{"function", function_letter, OPTION_TEXT, &job_filter.function}, \
	{"queue", 'Q', OPTION_TEXT, &job_filter.queue}, \
	{"group", 'g', OPTION_TEXT, &job_filter.group}, \
	{"schedule", 'S', OPTION_TEXT, &job_filter.schedule}, \
	{"owner", 0, OPTION_TEXT, &job_filter.owner}, \
	{"parent", 'P', OPTION_NUMBER, &job_filter.parent}, \
	{"metadata", 'm', OPTION_TEXT, &job_filter.metadata}, \
	{"args", 'a', OPTION_TEXT, &job_filter.args}, \
	{"key", 'k', OPTION_TEXT, &job_filter.key}, \
	{"error", 'e', OPTION_TEXT, &job_filter.error}, \
	{"fingerprint", 0, OPTION_TEXT, &job_filter.fingerprint}, \
	{"since", 0, OPTION_TEXT, &job_filter.since}, \
	{"until", 0, OPTION_TEXT, &job_filter.until}, \
	{"before", 'b', OPTION_NUMBER, &job_filter.before}

/* Their help; letter: "-f, ", or as many blanks */
#define JOB_FILTER_HELP(letter) \
	"  -s, --state=STATES     waiting, scheduled, queued, running, retrying, succeeded, failed,\n" \
	"                         cancelled, discarded; several with commas between them\n" \
	"  " letter "--function=NAME    a name, with schema or without, or a signature\n" \
	"  -Q, --queue=NAME\n" \
	"  -g, --group=NAME       in this group\n" \
	"  -S, --schedule=NAME    runs of the schedules of that name\n" \
	"      --owner=ROLE       jobs of this role\n" \
	"  -P, --parent=ID        jobs that this one enqueued\n" \
	"  -m, --metadata=JSON    with metadata that contain this\n" \
	"  -a, --args=JSON        with arguments that contain this, or one of which is this\n" \
	"  -k, --key=KEY          with this key\n" \
	"  -e, --error=TEXT       with this text in their error, or this SQLSTATE\n" \
	"      --fingerprint=HEX  with an error that defer errors shows with it\n" \
	"      --since=TIME       ended since then, or enqueued if they have not ended: a time,\n" \
	"      --until=TIME       or how long ago it is, such as 90s, 15min, 2h or 1d\n" \
	"  -b, --before=ID        smaller ids than that: the next page\n"

/*
 * The parameters of statements, $1 and so on.  A name can mean several functions
 * and schedules: the function is called for each of them.
 */
#define JOB_FILTER_LIMIT	10	/* $11: for the caller to set */
#define JOB_FILTER_N		16

#define JOB_FILTER_FROM \
	"(SELECT pg_catalog.unnest($2::pg_catalog.text[]) AS function" \
	" UNION ALL SELECT NULL WHERE $2 IS NULL) s" \
	" CROSS JOIN (SELECT c.id FROM defer.schedules c WHERE c.name = $4" \
	" AND ($12::pg_catalog.text IS NULL OR c.owner::pg_catalog.text = $12)" \
	" UNION ALL SELECT NULL WHERE $4 IS NULL) c"
#define JOB_FILTER_ALL_ARGUMENTS \
	"states => $1::pg_catalog.text[]," \
	" function => s.function, queue => $3, schedule_id => c.id," \
	" parent_id => $5::pg_catalog.int8, metadata => $6::pg_catalog.jsonb, error => $7," \
	" since => $8::pg_catalog.timestamptz, until => $9::pg_catalog.timestamptz," \
	" group_key => $13, fingerprint => $14," \
	" args => $15::pg_catalog.jsonb, key => $16, owner => $12"
#define JOB_FILTER_ARGUMENTS JOB_FILTER_ALL_ARGUMENTS ", before => $10::pg_catalog.int8"

/* Report whether any of the options was given */
extern bool job_filter_given(void);

/* Set the parameters; exits if one is not valid or there is no such function */
extern void job_filter_values(PGconn *conn, const char **values);

#endif							/* CLI_JOB_FILTER_H */
