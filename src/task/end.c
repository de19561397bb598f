/*
 * end.c
 *		How workers outside of the server end the jobs that they hold, and tell that
 *		they go on: defer.complete(), fail(), release(), heartbeat() and their like.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include <math.h>

#include "base/args.h"
#include "base/errcodes.h"
#include "base/guc_job.h"
#include "base/job_state.h"
#include "base/own_sql.h"
#include "job/lease.h"
#include "table/history_table.h"
#include "table/job_by_id.h"
#include "task/task_call.h"

PG_FUNCTION_INFO_V1(defer_complete);
PG_FUNCTION_INFO_V1(defer_complete_many);
PG_FUNCTION_INFO_V1(defer_fail);
PG_FUNCTION_INFO_V1(defer_release);
PG_FUNCTION_INFO_V1(defer_heartbeat);
PG_FUNCTION_INFO_V1(defer_heartbeat_many);
PG_FUNCTION_INFO_V1(defer_task_log);
PG_FUNCTION_INFO_V1(defer_lease_state);

/* Jobs of one call */
#define MANY_MAX	10000

/* The first two arguments of all: a job and its token */
static void
read_job(FunctionCallInfo fcinfo, int64 *id, pg_uuid_t **token)
{
	task_check_loaded();
	require_argument(fcinfo, 0, "id");
	require_argument(fcinfo, 1, "token");
	*id = PG_GETARG_INT64(0);
	*token = PG_GETARG_UUID_P(1);
}

/* Find the lease that is to be ended; the top transaction commits only if there is one */
static void
find_to_end(FunctionCallInfo fcinfo, const char *command, HeldLease *held)
{
	int64		id;
	pg_uuid_t  *token;

	PreventCommandIfReadOnly(command);
	read_job(fcinfo, &id, &token);
	lease_find_to_end(id, token, held);
}

/* ------------------------------------------------------------------------
 * Ends
 * ------------------------------------------------------------------------ */

/* A result that is stored as it is.  Error if it is too large */
static Jsonb *
check_result(Jsonb *result)
{
	if (VARSIZE(result) > (Size) defer_max_payload * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("result of a job is too large"),
				 errhint("Keep it in a table. defer.max_payload is %d kB.", defer_max_payload)));
	return result;
}

/* defer.complete(id, token, result) */
Datum
defer_complete(PG_FUNCTION_ARGS)
{
	DeliveryEnd end = {.outcome = DELIVERY_DONE};
	HeldLease	held;

	find_to_end(fcinfo, "defer.complete()", &held);
	end.result = PG_ARGISNULL(2) ? NULL : check_result(PG_GETARG_JSONB_P(2));
	lease_note_end(&held, &end);
	PG_RETURN_VOID();
}

/* Two arrays side by side: ids and tokens */
static int
read_jobs(FunctionCallInfo fcinfo, Datum **ids, Datum **tokens)
{
	bool	   *nulls[2];
	int			n[2];

	task_check_loaded();
	require_argument(fcinfo, 0, "ids");
	require_argument(fcinfo, 1, "tokens");
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  ids, &nulls[0], &n[0]);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), UUIDOID, UUID_LEN, false, TYPALIGN_CHAR,
					  tokens, &nulls[1], &n[1]);
	if (n[0] != n[1])
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("\"ids\" and \"tokens\" must have as many elements"),
				 errdetail("They have %d and %d.", n[0], n[1])));
	if (n[0] > MANY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("\"ids\" must not have more than %d elements", MANY_MAX)));
	for (int i = 0; i < n[0]; i++)
	{
		if (nulls[0][i] || nulls[1][i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("\"ids\" and \"tokens\" must not contain NULL")));
	}
	return n[0];
}

/* defer.complete_many(ids, tokens, results) */
Datum
defer_complete_many(PG_FUNCTION_ARGS)
{
	Datum	   *ids;
	Datum	   *tokens;
	Datum	   *results = NULL;
	bool	   *no_results = NULL;
	int			nresults = 0;
	int			n;

	PreventCommandIfReadOnly("defer.complete_many()");
	n = read_jobs(fcinfo, &ids, &tokens);
	if (!PG_ARGISNULL(2))
	{
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), JSONBOID, -1, false, TYPALIGN_INT,
						  &results, &no_results, &nresults);
		if (nresults != n)
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("\"ids\" and \"results\" must have as many elements"),
					 errdetail("They have %d and %d.", n, nresults)));
	}
	for (int i = 0; i < n; i++)
	{
		DeliveryEnd end = {.outcome = DELIVERY_DONE};
		HeldLease	held;

		CHECK_FOR_INTERRUPTS();
		lease_find_to_end(DatumGetInt64(ids[i]), DatumGetUUIDP(tokens[i]), &held);
		if (results != NULL && !no_results[i])
			end.result = check_result(DatumGetJsonbP(results[i]));
		lease_note_end(&held, &end);
	}
	PG_RETURN_VOID();
}

/* The SQLSTATE that an argument gives, by itself that of RAISE EXCEPTION */
static int
read_sqlstate(FunctionCallInfo fcinfo, int n)
{
	char	   *state = args_text(fcinfo, n);

	if (state == NULL)
		return ERRCODE_RAISE_EXCEPTION;
	if (strlen(state) != 5 ||
		strspn(state, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5 || strncmp(state, "00", 2) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"sqlstate\": \"%s\"", state),
				 errhint("Give five digits or upper case letters, as in 22023.")));
	return MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
}

/* defer.fail(id, token, message, sqlstate, detail, retry, retry_in) */
Datum
defer_fail(PG_FUNCTION_ARGS)
{
	DeliveryEnd end = {.outcome = DELIVERY_RETRY, .wait = -1};
	HeldLease	held;

	end.sqlerrcode = read_sqlstate(fcinfo, 3);
	end.message = args_required_text(fcinfo, 2, "message");
	end.detail = args_text(fcinfo, 4);
	if (!PG_ARGISNULL(5) && !PG_GETARG_BOOL(5))
		end.outcome = DELIVERY_REFUSED;
	if (!PG_ARGISNULL(6))
		end.wait = setting_interval("retry_in", PG_GETARG_INTERVAL_P(6));
	if (end.outcome == DELIVERY_REFUSED && end.wait >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"retry_in\" cannot be given if \"retry\" is false")));
	find_to_end(fcinfo, "defer.fail()", &held);
	lease_note_end(&held, &end);
	PG_RETURN_VOID();
}

/* defer.release(id, token, delay) */
Datum
defer_release(PG_FUNCTION_ARGS)
{
	DeliveryEnd end = {.outcome = DELIVERY_RELEASED};
	HeldLease	held;

	if (!PG_ARGISNULL(2))
		end.wait = setting_interval("delay", PG_GETARG_INTERVAL_P(2));
	end.sqlerrcode = ERRCODE_JOB_SNOOZED;
	end.message = pstrdup("the worker has released the job");
	find_to_end(fcinfo, "defer.release()", &held);
	lease_note_end(&held, &end);
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------------
 * Signs of life
 * ------------------------------------------------------------------------ */

/* NULL: the lease is not in shared memory yet, and has its whole length when it is */
static const char *
beat(const HeldLease *held, int64 extend, float4 progress)
{
	return lease_beat(MyDatabaseId, held->job_id, &held->token, extend, progress) == LEASE_CANCEL ?
		"cancel" : "go on";
}

static int64
read_extend(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? -1 : task_read_length(fcinfo, n, "extend");
}

/* defer.heartbeat(id, token, progress, extend) */
Datum
defer_heartbeat(PG_FUNCTION_ARGS)
{
	float8		progress = PG_ARGISNULL(2) ? -1 : PG_GETARG_FLOAT8(2);
	int64		extend = read_extend(fcinfo, 3);
	HeldLease	held;
	int64		id;
	pg_uuid_t  *token;

	if (!PG_ARGISNULL(2) && !(progress >= 0 && progress <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("progress must be between 0 and 1"),
				 errhint("Give the part that is done, such as 0.5 for half of it.")));
	read_job(fcinfo, &id, &token);
	lease_find(id, token, &held);
	PG_RETURN_TEXT_P(cstring_to_text(beat(&held, extend, (float4) progress)));
}

/* defer.heartbeat_many(ids, tokens, extend) */
Datum
defer_heartbeat_many(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64		extend = read_extend(fcinfo, 2);
	Datum	   *ids;
	Datum	   *tokens;
	int			n = read_jobs(fcinfo, &ids, &tokens);

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < n; i++)
	{
		HeldLease	held;
		Datum		values[2];
		bool		nulls[2] = {0};

		CHECK_FOR_INTERRUPTS();
		values[0] = ids[i];
		values[1] = CStringGetTextDatum(lease_is_held(DatumGetInt64(ids[i]),
													  DatumGetUUIDP(tokens[i]), &held) ?
										beat(&held, extend, -1) : "lost");
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* defer.log(id, token, message) */
Datum
defer_task_log(PG_FUNCTION_ARGS)
{
	HeldLease	held;
	Job			job;
	int64		id;
	pg_uuid_t  *token;

	PreventCommandIfReadOnly("defer.log()");
	read_job(fcinfo, &id, &token);
	lease_find(id, token, &held);
	if (!PG_ARGISNULL(2) && job_read(id, &job))
		log_insert(id, job.owner, job.attempt + 1, GetCurrentTimestamp(), "info",
				   text_to_cstring(PG_GETARG_TEXT_PP(2)));
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------------
 * What has become of an attempt
 * ------------------------------------------------------------------------ */

/* The outcome of an attempt that did not succeed; NULL: there is none of that token */
static char *
outcome_of_attempt(int64 id, const pg_uuid_t *token)
{
	Oid			types[] = {INT8OID, UUIDOID};
	Datum		values[] = {Int64GetDatum(id), UUIDPGetDatum(token)};
	MemoryContext context = CurrentMemoryContext;
	char	   *outcome = NULL;
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	if (own_sql_run("SELECT a.outcome FROM defer.attempt a WHERE a.job_id OPERATOR(pg_catalog.=) $1"
					" AND a.token OPERATOR(pg_catalog.=) $2",
					lengthof(types), types, values, NULL, SPI_OK_SELECT) > 0)
		outcome = MemoryContextStrdup(context, SPI_getvalue(SPI_tuptable->vals[0],
															SPI_tuptable->tupdesc, 1));
	SPI_finish();
	own_sql_end(&own);
	return outcome;
}

/* defer.lease_state(id, token) */
Datum
defer_lease_state(PG_FUNCTION_ARGS)
{
	HeldLease	held;
	HistoryRow	row;
	char	   *outcome;
	int64		id;
	pg_uuid_t  *token;

	read_job(fcinfo, &id, &token);
	if (lease_is_held(id, token, &held))
		PG_RETURN_TEXT_P(cstring_to_text("held"));
	outcome = outcome_of_attempt(id, token);
	if (outcome != NULL)
		PG_RETURN_TEXT_P(cstring_to_text(strcmp(outcome, "timed_out") == 0 ? "lost" :
										 strcmp(outcome, "conflict") == 0 ? "failed" : outcome));
	if (history_read(id, &row) && row.has_token &&
		memcmp(&row.token, token, sizeof(pg_uuid_t)) == 0 && row.state == STATE_SUCCEEDED)
		PG_RETURN_TEXT_P(cstring_to_text("completed"));
	lease_find(id, token, &held);	/* raises the error */
	PG_RETURN_TEXT_P(cstring_to_text("held"));
}
