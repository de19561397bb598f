/*
 * results.c
 *		Results of steps, for the scheduler.
 *
 * A result is read once, however often it is referred to, and the scheduler of all roles
 * reads no more of them for one step or workflow than it can hold.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/guc_job.h"
#include "base/job.h"
#include "base/job_kind.h"
#include "base/jsonb_util.h"
#include "table/history_table.h"
#include "table/step_table.h"
#include "workflow/definition.h"
#include "workflow/inputs.h"
#include "workflow/results.h"
#include "workflow/workflow.h"

/* Most kilobytes of results that are read for one step, unless one may be larger */
#define READ_MAX	(64 * 1024)

/* A step, or the args of the workflow, by the name in references */
typedef struct ResultEntry
{
	char		name[STEP_NAME_MAX + 1];
	int64		job_id;			/* 0: not known */
	bool		read;
	Jsonb	   *result;			/* if it is read; NULL: none */
} ResultEntry;

struct StepResults
{
	MemoryContext context;
	int64		workflow_id;
	int64		job_id;			/* of the step that refers to them */
	HTAB	   *entries;
	Size		size;			/* of those that are read */
};

/* ------------------------------------------------------------------------
 * Reading one
 * ------------------------------------------------------------------------ */

/* The only column of the only row of a query, in that memory context; NULL: none */
static Jsonb *
query_json(const char *sql, int64 first, int64 second, MemoryContext context)
{
	Oid			types[] = {INT8OID, INT8OID};
	Datum		values[] = {Int64GetDatum(first), Int64GetDatum(second)};
	MemoryContext old;
	Jsonb	   *json = NULL;
	bool		isnull = true;
	Datum		value = (Datum) 0;

	SPI_connect();
	if (own_sql_run(sql, lengthof(types), types, values, NULL, SPI_OK_SELECT) > 0)
		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	old = MemoryContextSwitchTo(context);
	if (!isnull)
		json = DatumGetJsonbPCopy(value);
	MemoryContextSwitchTo(old);
	SPI_finish();
	return json;
}

/*
 * The result of a job: in the history, or kept in the row by which "child_id" comes after
 * it.  It is in that memory context.
 */
static Jsonb *
read_result(int64 job_id, int64 child_id, MemoryContext context)
{
	MemoryContext scratch = AllocSetContextCreate(CurrentMemoryContext, "defer result",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(scratch);
	HistoryRow	row;
	const bool	found = history_read(job_id, &row);
	Jsonb	   *result = NULL;

	if (found && row.result != NULL)
		result = memcpy(MemoryContextAlloc(context, VARSIZE(row.result)), row.result,
						VARSIZE(row.result));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(scratch);
	if (found)
		return result;
	return query_json("SELECT d.result FROM defer.dependency d"
					  " WHERE d.child_id OPERATOR(pg_catalog.=) $1"
					  " AND d.parent_id OPERATOR(pg_catalog.=) $2", child_id, job_id, context);
}

/* ------------------------------------------------------------------------
 * What a step refers to
 * ------------------------------------------------------------------------ */

/* Note the name in a reference, and stand for it */
static Jsonb *
note_name(const char *reference, void *arg)
{
	StepResults *results = arg;
	char	   *name = inputs_step(reference);
	bool		found;
	ResultEntry *entry = hash_search(results->entries, name, HASH_ENTER, &found);

	if (!found)
	{
		entry->job_id = 0;
		entry->read = false;
		entry->result = NULL;
	}
	return NULL;
}

static Datum
array_of_names(StepResults *results)
{
	Datum	   *names = palloc(Max(hash_get_num_entries(results->entries), 1) * sizeof(Datum));
	HASH_SEQ_STATUS scan;
	ResultEntry *entry;
	int			n = 0;

	hash_seq_init(&scan, results->entries);
	while ((entry = hash_seq_search(&scan)) != NULL)
		names[n++] = CStringGetTextDatum(entry->name);
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Find the jobs of all names in one query */
static void
find_jobs(StepResults *results)
{
	Oid			types[] = {INT8OID, TEXTARRAYOID};
	Datum		values[] = {Int64GetDatum(results->workflow_id), array_of_names(results)};
	uint64		n;

	SPI_connect();
	n = own_sql_run("SELECT s.name, s.job_id FROM defer.workflow_step s"
					" WHERE s.workflow_id OPERATOR(pg_catalog.=) $1"
					" AND s.name OPERATOR(pg_catalog.=) ANY ($2)",
					lengthof(types), types, values, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		char	   *name = SPI_getvalue(row, SPI_tuptable->tupdesc, 1);
		ResultEntry *entry = hash_search(results->entries, name, HASH_FIND, NULL);
		bool		isnull;

		if (entry != NULL)
			entry->job_id = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
	}
	SPI_finish();
}

StepResults *
results_of_step(const Job *job, Jsonb *args, Jsonb *condition)
{
	HASHCTL		control = {.keysize = STEP_NAME_MAX + 1, .entrysize = sizeof(ResultEntry),
		.hcxt = CurrentMemoryContext};
	StepResults *results = palloc0(sizeof(StepResults));

	results->context = CurrentMemoryContext;
	results->workflow_id = job->parent_id;
	results->job_id = job->id;
	results->entries = hash_create("defer results", 16, &control,
								   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	if (args != NULL)
		(void) inputs_fill(args, note_name, results, JOB_FUNCTION, NULL);
	if (condition != NULL)
		(void) note_name(inputs_reference(&condition->root, false), results);
	find_jobs(results);
	return results;
}

static void
read_entry(StepResults *results, ResultEntry *entry)
{
	CHECK_FOR_INTERRUPTS();
	if (entry->job_id != 0)
		entry->result = read_result(entry->job_id, results->job_id, results->context);
	else if (strcmp(entry->name, WORKFLOW_ARGS) == 0)
		entry->result = query_json("SELECT w.args FROM defer.workflow w"
								   " WHERE w.id OPERATOR(pg_catalog.=) $1 AND $2 IS NOT NULL",
								   results->workflow_id, 0, results->context);
	entry->read = true;
	if (entry->result != NULL)
		results->size += VARSIZE(entry->result);
	if (results->size > (Size) Max(READ_MAX, defer_max_payload) * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the results that the step refers to are larger than %d MB together",
						Max(READ_MAX, defer_max_payload) / 1024)));
}

Jsonb *
results_look_up(const char *reference, void *arg)
{
	StepResults *results = arg;
	ResultEntry *entry = hash_search(results->entries, inputs_step(reference), HASH_FIND, NULL);

	if (entry == NULL)
		return NULL;
	if (!entry->read)
		read_entry(results, entry);
	return inputs_follow(entry->result, reference);
}

/* ------------------------------------------------------------------------
 * The result of a workflow
 * ------------------------------------------------------------------------ */

/* Add those of steps to the object; false: they are too large */
static bool
push_results(JsonbBuilder *state, int64 workflow_id, SPITupleTable *steps, uint64 n,
			 MemoryContext context)
{
	Size		size = 0;

	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		char	   *name = SPI_getvalue(steps->vals[i], steps->tupdesc, 1);
		Datum		job_id = SPI_getbinval(steps->vals[i], steps->tupdesc, 2, &isnull);
		Jsonb	   *result = read_result(DatumGetInt64(job_id), workflow_id, context);
		JsonbValue	none = {.type = jbvNull};

		CHECK_FOR_INTERRUPTS();
		if (result != NULL)
			jsonb_push_json(state, name, result);
		else
		{
			jsonb_push_key(state, name);
			(void) jsonb_push(state, WJB_VALUE, &none);
		}
		size += strlen(name) + (result != NULL ? VARSIZE(result) : 0);
		if (size > (Size) defer_max_payload * 1024)
			return false;
	}
	return true;
}

Jsonb *
results_of_workflow(int64 workflow_id)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			type = INT8OID;
	Datum		id = Int64GetDatum(workflow_id);
	JsonbBuilder state = {0};
	Jsonb	   *whole = NULL;
	SPITupleTable *steps;
	uint64		n;
	bool		fit;

	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	SPI_connect();
	n = own_sql_run("SELECT s.name, s.job_id FROM defer.workflow_step s"
					" WHERE s.workflow_id OPERATOR(pg_catalog.=) $1 AND s.final ORDER BY s.ord",
					1, &type, &id, NULL, SPI_OK_SELECT);
	steps = SPI_tuptable;
	MemoryContextSwitchTo(context);
	fit = push_results(&state, workflow_id, steps, n, context);
	SPI_finish();
	MemoryContextSwitchTo(context);
	if (fit)
		whole = JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
	return whole != NULL && VARSIZE(whole) <= (Size) defer_max_payload * 1024 ? whole : NULL;
}
