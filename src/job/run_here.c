/*
 * run_here.c
 *		defer.run_here(): a command that another node of Citus has sent.
 *
 * The statements are constants with one parameter, the arguments.  They run as the role
 * that has logged in, the one that has called the other node, and so with its rights.  The
 * answer is an object: "value", or "error" with what the error said, as Citus would return
 * its text only.
 *
 * No node waits for long: lists end after CITUS_NODE_TIME, and other commands wait
 * LOCK_TIME for a lock, as no server sees a deadlock between sessions of two.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timeout.h"

#include "base/citus_nodes.h"
#include "base/jsonb_util.h"
#include "base/subtransaction.h"
#include "job/run_here.h"

#define LOCK_TIME	"10s"

PG_FUNCTION_INFO_V1(defer_run_here);

typedef struct HereCommand
{
	const char *name;
	HereKind	kind;
	const char *sql;
} HereCommand;

#define ON_JOB(call, arguments) \
	"SELECT pg_catalog.to_jsonb(defer." call ") FROM pg_catalog.jsonb_to_record($1) a(id pg_catalog.int8" \
	arguments ")"
#define LIST(from) "SELECT pg_catalog.jsonb_agg(v) FROM " from " v"
#define LIST_OF_JOB(from, id) \
	LIST(from) ", pg_catalog.jsonb_to_record($1) a(id pg_catalog.int8) WHERE v." id " OPERATOR(pg_catalog.=) a.id"

static const HereCommand commands[] = {
	{"cancel", HERE_ACTS, ON_JOB("cancel(a.id, a.force)", ", force pg_catalog.bool")},
	{"reschedule", HERE_ACTS, ON_JOB("reschedule(a.id, a.run_at)", ", run_at pg_catalog.timestamptz")},
	{"rerun", HERE_ACTS, ON_JOB("rerun(a.id, a.from_step, a.force)",
								", from_step pg_catalog.text, force pg_catalog.bool")},
	{"retry", HERE_ACTS, ON_JOB("retry(a.id, a.force)", ", force pg_catalog.bool")},
	{"acknowledge", HERE_ACTS, ON_JOB("acknowledge(a.id, a.note)", ", note pg_catalog.text")},
	{"await", HERE_ACTS, ON_JOB("await(a.id, pg_catalog.make_interval(secs => a.milliseconds OPERATOR(pg_catalog./) 1000))",
								", milliseconds pg_catalog.float8")},
	{"result", HERE_ACTS, ON_JOB("result(a.id)", "")},
	{"batch", HERE_ACTS, ON_JOB("batch_here(a.id, a.counts)", ", counts pg_catalog.bool")},
	{"job", HERE_SHOWS, LIST_OF_JOB("defer.jobs", "id")},
	{"logs", HERE_SHOWS, LIST_OF_JOB("defer.logs", "job_id")},
	{"attempts", HERE_SHOWS, LIST_OF_JOB("defer.attempts", "job_id")},
	{"nodes", HERE_LISTS, "SELECT pg_catalog.jsonb_build_array(true)"},
	{"functions", HERE_LISTS, LIST("defer.functions")},
	{"queues", HERE_LISTS, LIST("defer.queues")},
	{"workers", HERE_LISTS, LIST("defer.workers")},
	{"health", HERE_LISTS, LIST("defer.health")},
	{"jobs", HERE_LISTS, LIST("defer.jobs")
		" WHERE v.id OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT f.id FROM pg_catalog.jsonb_to_record($1)"
		" a(states pg_catalog.text[], function pg_catalog.text, queue pg_catalog.text,"
		" parent_id pg_catalog.int8, schedule_id pg_catalog.int8, metadata pg_catalog.jsonb,"
		" error pg_catalog.text, since pg_catalog.timestamptz, until pg_catalog.timestamptz,"
		" n pg_catalog.int8, group_key pg_catalog.text, fingerprint pg_catalog.text,"
		" args pg_catalog.jsonb, key pg_catalog.text, owner pg_catalog.text)"
		" CROSS JOIN LATERAL defer.find_jobs(states => a.states, function => a.function,"
		" queue => a.queue, parent_id => a.parent_id, schedule_id => a.schedule_id,"
		" metadata => a.metadata, error => a.error, since => a.since, until => a.until, n => a.n,"
		" group_key => a.group_key, fingerprint => a.fingerprint, args => a.args, key => a.key,"
	" owner => a.owner) f(id)))"},
};

static const HereCommand *
find_command(const char *name)
{
	for (int i = 0; i < lengthof(commands); i++)
	{
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized command of a node: \"%s\"", name),
			 errhint("The nodes of Citus need the same version of defer.")));
}

void
run_here_check(const char *command, HereKind kind)
{
	if (find_command(command)->kind != kind)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("command \"%s\" of a node returns no such list", command)));
}

/* What is run, and its value */
typedef struct Run
{
	const HereCommand *command;
	Datum		args;
	MemoryContext context;
	Jsonb	   *value;			/* NULL: SQL's NULL */
} Run;

static void
run_command(void *arg)
{
	Run		   *run = arg;
	Oid			type = JSONBOID;
	bool		isnull;
	Datum		value;
	int			level = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (run->command->kind == HERE_ACTS && LockTimeout == 0)
		(void) set_config_option("lock_timeout", LOCK_TIME, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	if (SPI_execute_with_args(run->command->sql, 1, &type, &run->args, NULL, false,
							  0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not run command \"%s\"", run->command->name);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
	{
		MemoryContext old = MemoryContextSwitchTo(run->context);

		run->value = DatumGetJsonbPCopy(value);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	AtEOXact_GUC(true, level);
}

static void
push_error(JsonbBuilder *answer, const ErrorData *error)
{
	jsonb_push_key(answer, "error");
	(void) jsonb_push(answer, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_text(answer, "sqlstate", unpack_sql_state(error->sqlerrcode));
	jsonb_push_text(answer, "message", error->message != NULL ? error->message : "");
	if (error->detail != NULL)
		jsonb_push_text(answer, "detail", error->detail);
	if (error->hint != NULL)
		jsonb_push_text(answer, "hint", error->hint);
	(void) jsonb_push(answer, WJB_END_OBJECT, NULL);
}

/* defer.run_here(command, args) */
Datum
defer_run_here(PG_FUNCTION_ARGS)
{
	Run			run = {.context = CurrentMemoryContext};
	JsonbBuilder answer = {0};
	ErrorData  *error;
	bool		timed;

	run.command = find_command(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	run.args = PG_GETARG_DATUM(1);

	/* the server turns it off at the end of the statement, too */
	timed = run.command->kind != HERE_ACTS && !get_timeout_active(STATEMENT_TIMEOUT);
	if (timed)
		enable_timeout_after(STATEMENT_TIMEOUT, CITUS_NODE_TIME);
	error = subtransaction_try(run_command, &run);
	if (timed)
		disable_timeout(STATEMENT_TIMEOUT, false);
	(void) jsonb_push(&answer, WJB_BEGIN_OBJECT, NULL);
	if (error != NULL)
		push_error(&answer, error);
	else if (run.value != NULL)
		jsonb_push_json(&answer, "value", run.value);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(jsonb_push(&answer, WJB_END_OBJECT, NULL)));
}
