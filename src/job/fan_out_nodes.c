/*
 * fan_out_nodes.c
 *		The part of a fan-out that is on other nodes of Citus.
 *
 * A job that enqueues for rows of a distributed table has children on the nodes that have
 * them (job/distributed_enqueue.c).  Here they are not counted.  So a job of
 * defer.when_done() that is to begin, as the part of this node is over, asks the other nodes
 * first, as its own role, and is put off until none of them has a child that has not ended.
 * Its worker asks, so a node that is away holds up this job only.
 *
 * The children are prepared on their nodes before their parent commits, and may be committed
 * there later.  A node therefore waits for what the parent's node has prepared there when it
 * is asked, and looks then.  Transactions that are prepared later are not waited for, so
 * this comes to an end however many there are.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/citus.h"
#include "base/jsonb_util.h"
#include "base/own_sql.h"
#include "base/roles.h"
#include "table/dependency_table.h"
#include "job/elsewhere.h"
#include "job/fan_out_nodes.h"

PG_FUNCTION_INFO_V1(defer_batch_here);

/* Times between two looks, an eighth of the time since the job was enqueued (microseconds) */
#define LOOK_MIN	USECS_PER_SEC
#define LOOK_MAX	(30 * USECS_PER_SEC)

/* How long a node waits for prepared transactions (milliseconds), and for how long each time */
#define PREPARED_TIME	900
#define PREPARED_NAP	10

/* ------------------------------------------------------------------------
 * The node of the parent
 * ------------------------------------------------------------------------ */

static List *
ask_nodes(int64 id, bool counts)
{
	JsonbBuilder args;

	elsewhere_begin(&args, id);
	jsonb_push_bool(&args, "counts", counts);
	return elsewhere_ask(CITUS_ALL_NODES, "batch", elsewhere_end(&args));
}

/* Return what a node says of its part; NULL: it does not answer */
static Jsonb *
part_of(const NodeAnswer *answer)
{
	Jsonb	   *json = elsewhere_answer(answer);

	return json != NULL ? jsonb_read_json(json, "value") : NULL;
}

/* Check whether the fan-out of a job is over on all other nodes */
static bool
is_over_elsewhere(int64 id)
{
	ListCell   *cell;

	foreach(cell, ask_nodes(id, false))
	{
		Jsonb	   *part = part_of(lfirst(cell));

		if (part == NULL || jsonb_read_number(part, "unfinished", 1) != 0)
			return false;
	}
	return true;
}

int64
fan_out_wait_for_nodes(const Job *job)
{
	Dependency *rows;
	int			n;

	if (!citus_here())
		return 0;
	n = dependency_of_child(job->id, &rows);
	for (int i = 0; i < n; i++)
	{
		if (rows[i].parent_id < 0 && !is_over_elsewhere(-rows[i].parent_id))
			return Min(Max((GetCurrentTimestamp() - job->enqueued_at) / 8, LOOK_MIN), LOOK_MAX);
	}
	return 0;
}

void
fan_out_add_nodes(int64 id, int64 counts[JOB_ENDS])
{
	ListCell   *cell;

	foreach(cell, ask_nodes(id, true))
	{
		const NodeAnswer *answer = lfirst(cell);
		Jsonb	   *part = part_of(answer);

		if (part == NULL)
			elsewhere_raise_away(answer, NULL);
		for (int i = 0; i < JOB_ENDS; i++)
			counts[i] += jsonb_read_number(part, job_end_name(i), 0);
	}
}

/* ------------------------------------------------------------------------
 * The node of the children
 * ------------------------------------------------------------------------ */

/* Transactions that the parent's node, $1, has prepared here */
static const char *const prepared_sql =
"SELECT COALESCE(pg_catalog.array_agg(p.gid), '{}') FROM pg_catalog.pg_prepared_xacts p"
" WHERE p.database OPERATOR(pg_catalog.=) pg_catalog.current_database()"
" AND pg_catalog.starts_with(p.gid, pg_catalog.format('citus_%s_', $1))";

static const char *const still_prepared_sql =
"SELECT FROM pg_catalog.pg_prepared_xacts p WHERE p.gid OPERATOR(pg_catalog.=) ANY ($1) LIMIT 1";

/* Wait until those are decided; false: they are not, within the time for it */
static bool
wait_for_prepared(int32 node)
{
	Oid			type = INT4OID;
	Datum		value = Int32GetDatum(node);
	bool		isnull;

	(void) own_sql_run(prepared_sql, 1, &type, &value, NULL, SPI_OK_SELECT);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	type = TEXTARRAYOID;
	for (int time = 0; own_sql_run(still_prepared_sql, 1, &type, &value, NULL, SPI_OK_SELECT) > 0;
		 time += PREPARED_NAP)
	{
		CHECK_FOR_INTERRUPTS();
		if (time >= PREPARED_TIME)
			return false;
		pg_usleep(PREPARED_NAP * 1000L);
	}
	return true;
}

/* Jobs that the caller, $2, may see; $3: it may see all */
#define SEEN(table) \
	" AND ($3 OR pg_catalog.pg_has_role($2, " table ".owner, 'USAGE'))"

/* Whose jobs are counted */
typedef struct Caller
{
	Oid			role;
	bool		sees_all;
} Caller;

/* Run a statement about a job as of the active snapshot; returns how many rows it has */
static uint64
read_now(const char *sql, int64 id, const Caller *caller)
{
	Oid			types[] = {INT8OID, OIDOID, BOOLOID};
	Datum		values[] = {Int64GetDatum(id), ObjectIdGetDatum(caller->role),
		BoolGetDatum(caller->sees_all)};

	if (SPI_execute_with_args(sql, lengthof(types), types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the jobs of a batch");
	return SPI_processed;
}

/* A job of the fan-out that has not ended.  There is no index: the first that is found is enough */
static const char *const unfinished_sql =
"SELECT FROM defer.job j WHERE j.parent_id OPERATOR(pg_catalog.=) $1"
" AND j.rerun_of IS NULL AND j.schedule_id IS NULL" SEEN("j")
" AND NOT EXISTS (SELECT FROM defer.job_history h WHERE h.id OPERATOR(pg_catalog.=) j.id) LIMIT 1";

static const char *const ended_sql =
"SELECT h.state, pg_catalog.count(*) FROM defer.job_history h"
" WHERE h.parent_id OPERATOR(pg_catalog.=) $1 AND h.rerun_of IS NULL AND h.schedule_id IS NULL"
SEEN("h") " GROUP BY h.state";

static void
count_ended(int64 id, const Caller *caller, int64 ended[JOB_ENDS])
{
	uint64		n = read_now(ended_sql, id, caller);

	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		bool		isnull;
		char		state = DatumGetChar(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));

		ended[job_end_number(state)] =
			DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
	}
}

/* defer.batch_here(id, counts): an object with "unfinished", 0 or 1, and counts by state */
Datum
defer_batch_here(PG_FUNCTION_ARGS)
{
	const int64 id = PG_GETARG_INT64(0);
	JsonbBuilder answer = {0};
	Caller		caller = {GetUserId(), role_may_see(InvalidOid)};
	int64		ended[JOB_ENDS] = {0};
	bool		unfinished;
	OwnSql		own;

	PushActiveSnapshot(GetLatestSnapshot());
	own_sql_begin(&own);
	SPI_connect();
	unfinished = !wait_for_prepared(citus_node_of_job(id));
	PopActiveSnapshot();
	PushActiveSnapshot(GetLatestSnapshot());
	unfinished = unfinished || read_now(unfinished_sql, id, &caller) > 0;
	if (PG_GETARG_BOOL(1))
		count_ended(id, &caller, ended);
	SPI_finish();
	own_sql_end(&own);
	PopActiveSnapshot();
	(void) jsonb_push(&answer, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_number(&answer, "unfinished", unfinished ? 1 : 0);
	for (int i = 0; i < JOB_ENDS; i++)
		jsonb_push_number(&answer, job_end_name(i), ended[i]);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(jsonb_push(&answer, WJB_END_OBJECT, NULL)));
}
