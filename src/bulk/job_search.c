/*
 * job_search.c
 *		Jobs by what they are, a page at a time, for defer.find_jobs() and for
 *		defer.cancel_jobs() and its like; and how far the children of a job are:
 *		defer.child_states().
 *
 * The view defer.jobs hides each column behind a test of who is asking, so a
 * condition on anything but the id reads all of history.  These functions ask
 * the tables, as the extension's owner, and look at the owner of each row
 * themselves; they tell ids and counts only of jobs that the caller may see.
 * The statements are put together here, from constants, so that each has only
 * the conditions that are wanted and can use the index that is made for them:
 *
 *	(id)							pages: newest first
 *	(parent_id, id)					children; where there is a parent
 *	(schedule_id, id)				runs of a schedule; where there is one
 *	(id) of what did not go well	states but succeeded; errors
 *
 * The history has no index by function: it would cost each job more than
 * everything else that is written about it.  Instead the counts of finished
 * jobs (table/rollup.c) say in which ranges of ids there are jobs of a function, and
 * these are read from the newest on.  A range spans an hour at most, so one job
 * among many millions is found by reading those of an hour.
 *
 * Length: all statements have one list of parameters.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/own_sql.h"
#include "base/roles.h"
#include "bulk/job_search.h"

/* The states of jobs, as bits, in the order of their names */
#define STATE_SUCCEEDED_INDEX 4
#define LIVE_STATES		0x10f
#define ENDED_STATES	0xf0
#define ALL_STATES		0x1ff

/* Rows that are read at a time for callers who do not see all of them */
#define CHUNK			1000

PG_FUNCTION_INFO_V1(defer_child_states);

static const char *const state_names[] = {
	"scheduled", "queued", "running", "retrying", "succeeded", "failed", "cancelled", "discarded",
	"waiting"
};

/* Parameters of the statements; the first ones are those of defer.find_jobs() */
enum
{
	ARG_STATES, ARG_FUNCTION, ARG_QUEUE, ARG_PARENT_ID, ARG_SCHEDULE_ID, ARG_METADATA,
	ARG_ERROR, ARG_SINCE, ARG_UNTIL, ARG_BEFORE, ARG_N,
	ARG_GROUP_KEY, ARG_FINGERPRINT, ARG_ARGS, ARG_KEY, ARG_OWNER,
	ARG_RUNNING,				/* ids of the jobs that run now */
	ARG_FIRST, ARG_LAST,		/* only ids of this range, both ends included */
	NARGS
};

static Oid	arg_types[NARGS] = {
	TEXTARRAYOID, TEXTOID, TEXTOID, INT8OID, INT8OID, JSONBOID,
	TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT4OID,
	TEXTOID, TEXTOID, JSONBOID, TEXTOID, TEXTOID,
	INT8ARRAYOID,
	INT8OID, INT8OID
};

/* Ids from first to last */
typedef struct Range
{
	int64		first;
	int64		last;
} Range;

struct JobSearch
{
	Datum		values[NARGS];
	char		nulls[NARGS];	/* 'n' or ' ', as SPI has it */
	bool		live;			/* unfinished jobs are looked for */
	bool		ended;			/* finished ones are */
	bool		succeeded;		/* and of these, the ones that went well */
	bool		failed_only;	/* only failed ones are */
	bool		open_only;		/* about which nothing was done */
	bool		ranged;			/* a range at a time */
	Range	   *ranges;			/* the newest first, apart from each other */
	int			nranges;
	int			states;			/* that are looked for, as bits */
	JobSearchRole allowed;
	int64	   *found;			/* of this page */
	int			nfound;
};

/* State of an unfinished job; as in the view defer.jobs */
static const char *const live_state =
"CASE WHEN j.claim IS NOT NULL AND j.id OPERATOR(pg_catalog.=) ANY ($17) THEN 'running'"
" WHEN j.waits IS NOT NULL AND j.run_at OPERATOR(pg_catalog.>) pg_catalog.statement_timestamp() THEN 'waiting'"
" WHEN j.attempt OPERATOR(pg_catalog.>) 0 OR j.conflicts OPERATOR(pg_catalog.>) 0 THEN 'retrying'"
" WHEN j.run_at OPERATOR(pg_catalog.>) pg_catalog.statement_timestamp() THEN 'scheduled'"
" ELSE 'queued' END";

static const char *const ended_state =
"CASE j.state WHEN 's' THEN 'succeeded' WHEN 'f' THEN 'failed' WHEN 'c' THEN 'cancelled' ELSE 'discarded' END";

static bool
given(const JobSearch *search, int arg)
{
	return search->nulls[arg] != 'n';
}

static void
execute(JobSearch *search, const char *sql)
{
	int			result = SPI_execute_with_args(sql, NARGS, arg_types, search->values,
											   search->nulls, true, 0);

	if (result < 0)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(result));
}

/* The ids of the jobs that run at this moment, as $17 */
static void
look_who_runs(JobSearch *search)
{
	bool		isnull;

	search->nulls[ARG_RUNNING] = ' ';
	search->values[ARG_RUNNING] = PointerGetDatum(construct_empty_array(INT8OID));
	execute(search, "SELECT COALESCE(pg_catalog.array_agg(r.job_id), '{}') FROM defer.running_jobs() r");
	search->values[ARG_RUNNING] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
												&isnull);
}

/* ------------------------------------------------------------------------
 * Pages of jobs
 * ------------------------------------------------------------------------ */

/* Conditions that are the same for both tables */
static void
add_conditions(StringInfo sql, const JobSearch *search)
{
	if (given(search, ARG_FUNCTION))
		appendStringInfoString(sql, " AND j.function OPERATOR(pg_catalog.=) $2");
	if (given(search, ARG_QUEUE))
		appendStringInfoString(sql, " AND j.queue OPERATOR(pg_catalog.=) $3");
	if (given(search, ARG_GROUP_KEY))
		appendStringInfoString(sql, " AND j.group_key OPERATOR(pg_catalog.=) $12");
	if (given(search, ARG_PARENT_ID))
		appendStringInfoString(sql, " AND j.parent_id OPERATOR(pg_catalog.=) $4");
	if (given(search, ARG_SCHEDULE_ID))
		appendStringInfoString(sql, " AND j.schedule_id OPERATOR(pg_catalog.=) $5");
	if (given(search, ARG_METADATA))
		appendStringInfoString(sql, " AND j.metadata OPERATOR(pg_catalog.@>) $6");
	if (given(search, ARG_ERROR))
		appendStringInfoString(sql, " AND j.error IS NOT NULL AND (j.sqlstate OPERATOR(pg_catalog.=) $7 OR"
							   " pg_catalog.strpos(pg_catalog.lower(j.error), pg_catalog.lower($7)) OPERATOR(pg_catalog.>) 0)");
	if (given(search, ARG_FINGERPRINT))
		appendStringInfoString(sql, " AND j.error IS NOT NULL AND"
							   " defer.error_fingerprint(j.function, j.sqlstate, j.error) OPERATOR(pg_catalog.=) $13");
	if (given(search, ARG_ARGS))
	{
		appendStringInfoString(sql, " AND (j.args OPERATOR(pg_catalog.@>) $14");
		if (JB_ROOT_IS_SCALAR(DatumGetJsonbP(search->values[ARG_ARGS])))
			appendStringInfoString(sql, " OR pg_catalog.jsonb_path_exists(j.args, '$.* ? (@ == $v)',"
								   " pg_catalog.jsonb_build_object('v', $14), true)");
		appendStringInfoChar(sql, ')');
	}
	if (given(search, ARG_KEY))
		appendStringInfoString(sql, " AND j.key OPERATOR(pg_catalog.=) $15");
	if (given(search, ARG_OWNER))
		appendStringInfoString(sql, " AND j.owner OPERATOR(pg_catalog.=) "
							   "(SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) $16)");
	appendStringInfoString(sql, " AND j.id OPERATOR(pg_catalog.<) $10");
	if (search->ranged)
		appendStringInfoString(sql, " AND j.id OPERATOR(pg_catalog.>=) $18");
}

static char *
page_statement(const JobSearch *search, bool live, bool ended)
{
	StringInfoData sql;

	/* a limit in each part, so that each is read in the order of an index */
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT u.id, u.owner FROM (");

	/*
	 * Each part is ordered and limited by itself: the planner does not carry
	 * the order of the whole into parts that have conditions, and would read
	 * and sort all of their rows.
	 */
	if (live)
	{
		appendStringInfoString(&sql, "(SELECT j.id, j.owner FROM defer.job j WHERE"
							   " (j.claim IS NULL OR NOT defer.has_ended(j.id))");
		add_conditions(&sql, search);
		if (given(search, ARG_STATES))
			appendStringInfo(&sql, " AND %s OPERATOR(pg_catalog.=) ANY ($1)", live_state);
		if (given(search, ARG_SINCE))
			appendStringInfoString(&sql, " AND j.enqueued_at OPERATOR(pg_catalog.>=) $8");
		if (given(search, ARG_UNTIL))
			appendStringInfoString(&sql, " AND j.enqueued_at OPERATOR(pg_catalog.<) $9");
		appendStringInfoString(&sql, " ORDER BY j.id DESC LIMIT $11)");
	}
	if (live && ended)
		appendStringInfoString(&sql, " UNION ALL ");
	if (ended)
	{
		appendStringInfoString(&sql, "(SELECT j.id, j.owner FROM defer.job_history j WHERE true");
		add_conditions(&sql, search);
		if (given(search, ARG_STATES))
			appendStringInfo(&sql, " AND %s OPERATOR(pg_catalog.=) ANY ($1)", ended_state);
		if (search->failed_only)
			appendStringInfoString(&sql, " AND j.state OPERATOR(pg_catalog.=) 'f'");
		if (search->open_only)
			appendStringInfoString(&sql, " AND EXISTS (SELECT FROM defer.failure f"
								   " WHERE f.line_id OPERATOR(pg_catalog.=) COALESCE(j.rerun_of, j.id)"
								   " AND f.job_id OPERATOR(pg_catalog.=) j.id AND f.closed IS NULL)");
		if (!search->succeeded)
			appendStringInfoString(&sql, " AND j.state OPERATOR(pg_catalog.<>) 's'");
		if (given(search, ARG_SINCE))
			appendStringInfoString(&sql, " AND j.finished_at OPERATOR(pg_catalog.>=) $8");
		if (given(search, ARG_UNTIL))
			appendStringInfoString(&sql, " AND j.finished_at OPERATOR(pg_catalog.<) $9");
		if (search->ranged)
			appendStringInfoString(&sql, " AND j.id OPERATOR(pg_catalog.<=) $19");
		appendStringInfoString(&sql, " ORDER BY j.id DESC LIMIT $11)");
	}
	appendStringInfoString(&sql, ") u ORDER BY u.id DESC LIMIT $11");
	return sql.data;
}

static int
state_bit(const char *state)
{
	for (int i = 0; i < lengthof(state_names); i++)
	{
		if (strcmp(state, state_names[i]) == 0)
			return 1 << i;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unrecognized job state \"%s\"", state),
			 errhint("States are waiting, scheduled, queued, running, retrying, succeeded, failed, cancelled and discarded.")));
}

/* Choose the tables that can have jobs of the states that are asked for */
static void
choose_tables(JobSearch *search)
{
	Datum	   *states;
	bool	   *isnull;
	int			n;

	search->states = ALL_STATES;
	if (given(search, ARG_STATES))
	{
		search->states = 0;
		args_text_array(search->values[ARG_STATES], &states, &isnull, &n);
		for (int i = 0; i < n; i++)
			search->states |= state_bit(isnull[i] ? "NULL" : TextDatumGetCString(states[i]));
	}
	search->live = (search->states & LIVE_STATES) != 0;
	search->ended = (search->states & ENDED_STATES) != 0;
	search->succeeded = (search->states & 1 << STATE_SUCCEEDED_INDEX) != 0;
}

/*
 * Where in the history jobs of the function are that the caller may see: ranges
 * of other roles are not read, which would take time that tells of them.
 * Deleted jobs count, too: there may be less in a range, never more outside.
 */
static void
find_ranges(JobSearch *search, OwnSql *own)
{
	StringInfoData sql;
	SPITupleTable *rows;
	uint64		n;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT c.first_id, c.last_id, c.owner FROM defer.job_counts c"
						   " WHERE c.function OPERATOR(pg_catalog.=) $2 AND c.first_id OPERATOR(pg_catalog.<) $10");
	if (given(search, ARG_QUEUE))
		appendStringInfoString(&sql, " AND c.queue OPERATOR(pg_catalog.=) $3");
	if (given(search, ARG_SINCE))
		appendStringInfoString(&sql, " AND c.hour OPERATOR(pg_catalog.>) ($8 OPERATOR(pg_catalog.-) interval '1 hour')");
	if (given(search, ARG_UNTIL))
		appendStringInfoString(&sql, " AND c.hour OPERATOR(pg_catalog.<) $9");
	if (!search->succeeded)
		appendStringInfoString(&sql, " AND (c.failed OPERATOR(pg_catalog.>) 0 OR c.cancelled OPERATOR(pg_catalog.>) 0"
							   " OR c.discarded OPERATOR(pg_catalog.>) 0)");
	appendStringInfoString(&sql, " ORDER BY c.last_id DESC");
	execute(search, sql.data);
	rows = SPI_tuptable;
	n = SPI_processed;
	search->ranges = palloc(mul_size(Max(n, 1), sizeof(Range)));
	own_sql_end(own);			/* the caller's role is the one that asks */
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		Range		range;

		if (!search->allowed(DatumGetObjectId(SPI_getbinval(rows->vals[i], rows->tupdesc, 3,
															&isnull))))
			continue;
		range.first = DatumGetInt64(SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull));
		range.last = DatumGetInt64(SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &isnull));
		if (search->nranges > 0 && range.last >= search->ranges[search->nranges - 1].first)
			search->ranges[search->nranges - 1].first =
				Min(search->ranges[search->nranges - 1].first, range.first);
		else
			search->ranges[search->nranges++] = range;
	}
	own_sql_begin(own);
	SPI_freetuptable(rows);
}

/*
 * Read what a prepared statement finds until there is enough, or no more.  The
 * caller's role is that of the function, while the statements run as the owner.
 */
static void
read_found(JobSearch *search, SPIPlanPtr plan, int wanted, OwnSql *own)
{
	bool		sees_all;
	int			chunk;
	uint64		n;

	own_sql_end(own);
	sees_all = search->allowed(InvalidOid);
	own_sql_begin(own);
	chunk = sees_all ? wanted : Max(wanted, CHUNK);
	search->values[ARG_N] = Int32GetDatum(chunk);
	search->nulls[ARG_N] = ' ';
	do
	{
		SPITupleTable *rows;

		CHECK_FOR_INTERRUPTS();
		if (SPI_execute_plan(plan, search->values, search->nulls, true, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not look for jobs");
		rows = SPI_tuptable;
		n = SPI_processed;
		own_sql_end(own);
		for (uint64 i = 0; i < n && search->nfound < wanted; i++)
		{
			bool		isnull;
			Datum		id = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull);

			if (search->allowed(DatumGetObjectId(SPI_getbinval(rows->vals[i], rows->tupdesc, 2,
															   &isnull))))
				search->found[search->nfound++] = DatumGetInt64(id);
			search->values[ARG_BEFORE] = Int64GetDatum(DatumGetInt64(id));
		}
		own_sql_begin(own);
		SPI_freetuptable(rows);
	} while (n == (uint64) chunk && search->nfound < wanted);
}

static SPIPlanPtr
prepare(const JobSearch *search, bool live, bool ended)
{
	SPIPlanPtr	plan = SPI_prepare(page_statement(search, live, ended), NARGS, arg_types);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	return plan;
}

static inline void
set_int64(JobSearch *search, int arg, int64 value)
{
	search->nulls[arg] = ' ';
	search->values[arg] = Int64GetDatum(value);
}

/* Collect up to wanted ids */
static void
search_page(JobSearch *search, int wanted, OwnSql *own)
{
	if (search->nulls[ARG_BEFORE] == 'n')
		set_int64(search, ARG_BEFORE, PG_INT64_MAX);
	if (given(search, ARG_FUNCTION) && search->ended)
	{
		SPIPlanPtr	plan;

		find_ranges(search, own);
		search->ranged = true;
		plan = prepare(search, search->live, true);
		for (int i = 0; i < search->nranges && search->nfound < wanted; i++)
		{
			set_int64(search, ARG_FIRST, search->ranges[i].first);
			set_int64(search, ARG_LAST, search->ranges[i].last);
			read_found(search, plan, wanted, own);
			if (search->nfound < wanted)
				set_int64(search, ARG_BEFORE, Min(DatumGetInt64(search->values[ARG_BEFORE]),
												  search->ranges[i].first));
		}
		search->ranged = false;
		if (search->live && search->nfound < wanted)
			read_found(search, prepare(search, true, false), wanted, own);
	}
	else
		read_found(search, prepare(search, search->live, search->ended), wanted, own);
}

/* See bulk/job_search.h */
JobSearch *
job_search_begin(FunctionCallInfo fcinfo, int group_arg, JobSearchRole allowed)
{
	JobSearch  *search = palloc0(sizeof(JobSearch));

	search->allowed = allowed;
	memset(search->nulls, 'n', sizeof(search->nulls));
	for (int i = 0; i < NARGS; i++)
	{
		int			arg = i < ARG_N ? i : i >= ARG_GROUP_KEY && i < ARG_RUNNING ?
			group_arg + i - ARG_GROUP_KEY : -1;

		if (arg < 0 || PG_ARGISNULL(arg))
			continue;
		search->nulls[i] = ' ';
		search->values[i] = PG_GETARG_DATUM(arg);
	}
	choose_tables(search);
	return search;
}

void
job_search_only(JobSearch *search, bool ended)
{
	if (given(search, ARG_STATES) && (ended ? search->live : search->ended))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 ended ? errmsg("jobs that have not ended cannot be run again") :
				 errmsg("jobs that have ended can be neither cancelled nor moved"),
				 ended ? errhint("States are succeeded, failed, cancelled and discarded.") :
				 errhint("States are waiting, scheduled, queued, running and retrying.")));
	if (ended)
		search->live = false;
	else
		search->ended = false;
}

void
job_search_failed(JobSearch *search, bool open_only)
{
	const int	failed = state_bit("failed");

	if (given(search, ARG_STATES) && (search->states & ~failed) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("only failed jobs can be taken on again or acknowledged"),
				 errhint("Leave out \"states\"; defer.rerun_jobs() runs others again.")));
	search->states = failed;
	search->live = search->succeeded = false;
	search->ended = true;
	search->failed_only = true;
	search->open_only = open_only;
}

bool
job_search_filters(const JobSearch *search)
{
	if (given(search, ARG_METADATA) &&
		JB_ROOT_COUNT(DatumGetJsonbP(search->values[ARG_METADATA])) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be empty", "metadata")));
	if (given(search, ARG_ARGS) && JB_ROOT_COUNT(DatumGetJsonbP(search->values[ARG_ARGS])) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be empty", "args")));
	if (given(search, ARG_FINGERPRINT) &&
		VARSIZE_ANY_EXHDR(DatumGetTextPP(search->values[ARG_FINGERPRINT])) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be empty", "fingerprint")));
	if (given(search, ARG_ERROR) &&
		VARSIZE_ANY_EXHDR(DatumGetTextPP(search->values[ARG_ERROR])) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must not be empty", "error")));
	for (int i = 0; i < ARG_RUNNING; i++)
	{
		if (i != ARG_STATES && given(search, i))
			return true;
	}
	if (search->failed_only)
		return given(search, ARG_STATES);
	return (search->live && (search->states & LIVE_STATES) != LIVE_STATES) ||
		(search->ended && (search->states & ENDED_STATES) != ENDED_STATES);
}

int
job_search_page(JobSearch *search, int wanted, int64 *ids)
{
	OwnSql		own;

	search->found = ids;
	search->nfound = 0;
	if (wanted == 0 || (!search->live && !search->ended))
		return 0;
	search->nranges = 0;
	own_sql_begin(&own);
	SPI_connect();
	look_who_runs(search);
	search_page(search, wanted, &own);
	SPI_finish();
	own_sql_end(&own);
	return search->nfound;
}

/* ------------------------------------------------------------------------
 * Children
 * ------------------------------------------------------------------------ */

/* How many children of a job are in each state */
Datum
defer_child_states(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		counts[lengthof(state_names)] = {0};
	JobSearch	search = {0};
	OwnSql		own;
	SPITupleTable *rows;
	uint64		n;

	memset(search.nulls, 'n', sizeof(search.nulls));
	search.nulls[ARG_PARENT_ID] = ' ';
	search.values[ARG_PARENT_ID] = PG_GETARG_DATUM(0);
	own_sql_begin(&own);
	SPI_connect();
	look_who_runs(&search);
	execute(&search,
			psprintf("SELECT %s, j.owner, pg_catalog.count(*) FROM defer.job j"
					 " WHERE j.parent_id OPERATOR(pg_catalog.=) $4 AND j.id OPERATOR(pg_catalog.>) $4 AND (j.claim IS NULL OR NOT defer.has_ended(j.id)) GROUP BY 1, 2"
					 " UNION ALL SELECT %s, j.owner, pg_catalog.count(*) FROM defer.job_history j"
					 " WHERE j.parent_id OPERATOR(pg_catalog.=) $4 GROUP BY 1, 2", live_state, ended_state));
	rows = SPI_tuptable;
	n = SPI_processed;
	own_sql_end(&own);
	for (uint64 i = 0; i < n; i++)
	{
		char	   *state = SPI_getvalue(rows->vals[i], rows->tupdesc, 1);
		bool		isnull;

		if (!role_may_see(DatumGetObjectId(SPI_getbinval(rows->vals[i], rows->tupdesc, 2,
														 &isnull))))
			continue;
		for (int j = 0; j < lengthof(state_names); j++)
		{
			if (strcmp(state, state_names[j]) == 0)
				counts[j] += DatumGetInt64(SPI_getbinval(rows->vals[i], rows->tupdesc, 3, &isnull));
		}
	}
	SPI_finish();

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < lengthof(state_names); i++)
	{
		Datum		values[2] = {CStringGetTextDatum(state_names[i]), Int64GetDatum(counts[i])};
		bool		nulls[2] = {0};

		if (counts[i] > 0)
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
