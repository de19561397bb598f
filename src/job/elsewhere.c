/*
 * elsewhere.c
 *		Commands on jobs of other nodes of Citus, by their id, whose beginning is the number
 *		of the node.
 *
 * The command runs on that node as the same role, in a transaction of its own
 * (job/run_here.c).  What it answers is an object, with "value" or "error", so that the
 * error that is raised here is the one that was raised there.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "base/errcodes.h"
#include "base/jsonb_util.h"
#include "table/job_row.h"
#include "job/after.h"
#include "job/elsewhere.h"

bool
elsewhere_check(int64 id)
{
	JobLook		look;

	if (id <= 0 || !citus_here() || citus_node_of_job(id) == citus_node())
		return false;
	job_look(id, &look);
	return !look.found;
}

void
elsewhere_begin(JsonbBuilder *args, int64 id)
{
	memset(args, 0, sizeof(JsonbBuilder));
	(void) jsonb_push(args, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_number(args, "id", id);
}

Jsonb *
elsewhere_end(JsonbBuilder *args)
{
	return JsonbValueToJsonb(jsonb_push(args, WJB_END_OBJECT, NULL));
}

/* Raise the error of a command, unless it has that SQLSTATE */
static void
raise_error(const NodeAnswer *answer, Jsonb *error, int sqlstate)
{
	const char *state = jsonb_read_text(error, "sqlstate");
	const char *message = jsonb_read_text(error, "message");
	const char *detail = jsonb_read_text(error, "detail");
	const char *hint = jsonb_read_text(error, "hint");
	int			code = ERRCODE_INTERNAL_ERROR;

	if (state != NULL && strlen(state) == 5)
		code = MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
	if (code == sqlstate)
		return;
	ereport(ERROR,
			(errcode(code),
			 errmsg_internal("%s", message != NULL ? message : "unknown error"),
			 detail != NULL ? errdetail_internal("%s", detail) : 0,
			 hint != NULL ? errhint("%s", hint) : 0,
			 errcontext("node %d of Citus, %s", (int) answer->node, answer->address)));
}

List *
elsewhere_ask(int32 node, const char *command, Jsonb *args)
{
	char	   *literal = quote_literal_cstr(JsonbToCString(NULL, &args->root, VARSIZE(args)));

	return citus_ask(node, psprintf("SELECT defer.run_here('%s', %s)", command, literal));
}

Jsonb *
elsewhere_answer(const NodeAnswer *answer)
{
	if (!answer->answered)
		return NULL;
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(answer->text)));
}

void
elsewhere_raise_away(const NodeAnswer *answer, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 errmsg("node %d of Citus does not answer", (int) answer->node),
			 errdetail_internal("%s: %s", answer->address, answer->text),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/* NULL where the error of the command has that SQLSTATE: then *raised is true */
static Jsonb *
try_command(const char *command, JsonbBuilder *args, int64 id, int sqlstate, bool *raised)
{
	List	   *answers = elsewhere_ask(citus_node_of_job(id), command, elsewhere_end(args));
	NodeAnswer *answer;
	Jsonb	   *json;
	Jsonb	   *error;

	if (answers == NIL)
		job_not_found(id);
	answer = linitial(answers);
	json = elsewhere_answer(answer);
	if (json == NULL)
		elsewhere_raise_away(answer, psprintf("Job " INT64_FORMAT " is of that node. Try again when it is back.",
											  id));
	error = jsonb_read_json(json, "error");
	*raised = error != NULL;
	if (error != NULL)
		raise_error(answer, error, sqlstate);
	return jsonb_read_any(json, "value");
}

Jsonb *
elsewhere_run(const char *command, JsonbBuilder *args, int64 id)
{
	bool		raised;

	return try_command(command, args, id, 0, &raised);
}

static Datum
run_for_bool(const char *command, JsonbBuilder *args, int64 id)
{
	Jsonb	   *value = elsewhere_run(command, args, id);
	JsonbValue	scalar;

	if (value == NULL || !JsonbExtractScalar(&value->root, &scalar) || scalar.type != jbvBool)
		elog(ERROR, "unexpected answer of a node of Citus");
	return BoolGetDatum(scalar.val.boolean);
}

Datum
elsewhere_forced(const char *command, int64 id, bool force)
{
	JsonbBuilder args;

	elsewhere_begin(&args, id);
	jsonb_push_bool(&args, "force", force);
	return run_for_bool(command, &args, id);
}

Datum
elsewhere_with_text(const char *command, int64 id, const char *name, const char *text)
{
	JsonbBuilder args;

	elsewhere_begin(&args, id);
	if (text != NULL)
		jsonb_push_text(&args, name, text);
	return run_for_bool(command, &args, id);
}

int64
elsewhere_rerun(int64 id, const char *from_step, bool force)
{
	JsonbBuilder args;
	JsonbValue	scalar;
	Jsonb	   *value;

	elsewhere_begin(&args, id);
	if (from_step != NULL)
		jsonb_push_text(&args, "from_step", from_step);
	jsonb_push_bool(&args, "force", force);
	value = elsewhere_run("rerun", &args, id);
	if (value == NULL || !JsonbExtractScalar(&value->root, &scalar) || scalar.type != jbvNumeric)
		elog(ERROR, "unexpected answer of a node of Citus");
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(scalar.val.numeric)));
}

Jsonb *
elsewhere_await(int64 id, int64 milliseconds, bool *timed_out)
{
	JsonbBuilder args;

	elsewhere_begin(&args, id);
	jsonb_push_number(&args, "milliseconds", milliseconds);
	return try_command("await", &args, id, ERRCODE_AWAIT_TIMEOUT, timed_out);
}
