/*
 * event.c
 *		Events and signals: defer.emit(), defer.signal(), defer.wait_event().
 *
 * A step that waits for an event has two rows of defer.dependency, which await a key of
 * the event and one of a signal of that name: numbers below 0, where others have the id
 * of a job.  An emit is to them what the end of a job is: in its transaction they are
 * closed, and the job is made ready; what it cannot see yet is left to the scheduler
 * (shmem/dependents.c).  A job that is woken looks whether there is what it waits for.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/guc_job.h"
#include "base/jsonb_util.h"
#include "base/own_sql.h"
#include "base/roles.h"
#include "job/after.h"
#include "job/dependents.h"
#include "shmem/dependents.h"
#include "shmem/preload.h"
#include "steps/pass.h"
#include "table/dependency_table.h"
#include "table/event_table.h"
#include "table/job_row.h"

PG_FUNCTION_INFO_V1(defer_wait_for_event);
PG_FUNCTION_INFO_V1(defer_emit);
PG_FUNCTION_INFO_V1(defer_signal);
PG_FUNCTION_INFO_V1(defer_emit_json);
PG_FUNCTION_INFO_V1(defer_signal_json);
PG_FUNCTION_INFO_V1(defer_grant_event);
PG_FUNCTION_INFO_V1(defer_revoke_event);

/* Look again so much later (microseconds) if another session is just waking the job */
#define BUSY_DELAY	USECS_PER_SEC

/* ------------------------------------------------------------------------
 * Waiting
 * ------------------------------------------------------------------------ */

/*
 * Take what the step waits for: a signal, which is gone with the mark of the step, or the
 * event.  One without a payload has that of JSON's null.
 */
static bool
take(const PassStep *step, Jsonb **payload)
{
	ItemPointerData tid;

	if (event_find_signal(step->step.job_id, step->step.awaits, payload, &tid))
		event_delete_signal(&tid);
	else if (!event_find(step->step.owner, step->step.awaits, payload))
		return false;
	if (*payload == NULL)
		*payload = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("null")));
	return true;
}

/*
 * Complete the step, or wait.  Emits are published to, and then looked for.  A time-out
 * closes the rows of the step before it looks for the last time: an emit that has closed
 * one, and is not committed, is waited for.
 */
static Jsonb *
wait_event(PassStep *step)
{
	int64		keys[] = {
		event_key(step->step.owner, step->step.awaits),
		event_signal_key(step->step.job_id, step->step.awaits)
	};
	const bool	open[] = {true, true};
	Jsonb	   *payload = NULL;

	dependents_begin(false);
	for (int i = 0; i < lengthof(keys); i++)
		dependents_publish(keys[i]);
	if (take(step, &payload))
	{
		dependents_wait_end(step->step.job_id);
		return payload;
	}
	if (step->step.until <= GetCurrentTimestamp())
	{
		if (!dependents_wait_end(step->step.job_id))
			pass_wait(step, WAITS_EVENT, GetCurrentTimestamp() + BUSY_DELAY);
		return take(step, &payload) ? payload : NULL;
	}
	if (dependency_step_closed(step->step.job_id))
		(void) dependents_wait_end(step->step.job_id);
	if (!step->found || !dependency_has_open(step->step.job_id, 0))
		dependents_wait(current_job.job, lengthof(keys), keys, open, AFTER_FAILURE_WAKE);
	pass_wait(step, WAITS_EVENT, step->step.until);
}

/* defer.wait_event(name, event, timeout [, INOUT payload]) */
Datum
defer_wait_for_event(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	PassStep	step;

	pass_enter(fcinfo, "defer.wait_event()", STEP_EVENT, &step);
	if (!step.done)
	{
		Jsonb	   *payload;

		if (!step.found)
		{
			char	   *event = args_required_text(fcinfo, 1, "event");

			args_check_name("event", event, EVENT_NAME_MAX);
			step.step.awaits = event;
			step.step.until = PG_ARGISNULL(2) ? DT_NOEND :
				step.step.started_at + setting_interval("timeout", PG_GETARG_INTERVAL_P(2));
		}
		payload = wait_event(&step);
		MemoryContextSwitchTo(context);
		pass_commit(&step, payload);
	}
	pass_leave(&step);
	return pass_return_jsonb(fcinfo, step.step.result);
}

/* ------------------------------------------------------------------------
 * Emitting
 * ------------------------------------------------------------------------ */

static char *
read_event(FunctionCallInfo fcinfo, int n, const char *parameter)
{
	char	   *name = args_required_text(fcinfo, n, parameter);

	args_check_name("event", name, EVENT_NAME_MAX);
	return name;
}

static Jsonb *
read_payload(FunctionCallInfo fcinfo, int n)
{
	Jsonb	   *payload = PG_ARGISNULL(n) ? NULL : PG_GETARG_JSONB_P(n);

	if (payload != NULL && VARSIZE(payload) > (Size) defer_max_payload * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("\"payload\" is larger than %d kB", defer_max_payload),
				 errhint("Keep it in a table, or raise defer.max_payload.")));
	return payload;
}

/* Check for a grant on a prefix of the event to a role that the current user is a member of */
static bool
has_grant(Oid owner, const char *event)
{
	Oid			types[] = {REGROLEOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(owner), CStringGetTextDatum(event)};
	Oid			user = GetUserId();
	bool		granted = false;
	OwnSql		own;
	uint64		n;

	own_sql_begin(&own);
	SPI_connect();
	n = own_sql_run("SELECT g.grantee FROM defer.event_grant g WHERE g.owner OPERATOR(pg_catalog.=) $1"
					" AND pg_catalog.starts_with($2, g.prefix)",
					lengthof(types), types, values, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < n && !granted; i++)
	{
		bool		isnull;

		granted = has_privs_of_role(user, DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i],
																		 SPI_tuptable->tupdesc,
																		 1, &isnull)));
	}
	SPI_finish();
	own_sql_end(&own);
	return granted;
}

/*
 * The role whose event it is: the current one, or the one that "of" names.  *granted: it is
 * of a role that the current one has no rights of.
 */
static Oid
read_owner(FunctionCallInfo fcinfo, int n, const char *event, bool *granted)
{
	char	   *role;
	Oid			owner;

	*granted = false;
	if (PG_ARGISNULL(n))
		return GetUserId();
	role = text_to_cstring(PG_GETARG_TEXT_PP(n));
	owner = get_role_oid(role, false);
	*granted = !role_may_manage(owner);
	if (*granted && !has_grant(owner, event))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to emit event \"%s\" of role \"%s\"", event, role),
				 errhint("That role can allow it with defer.grant_event().")));
	return owner;
}

/* defer.emit(event, payload, of) */
Datum
defer_emit(PG_FUNCTION_ARGS)
{
	char	   *event = read_event(fcinfo, 0, "event");
	Jsonb	   *payload = read_payload(fcinfo, 1);
	bool		granted;
	Oid			owner = read_owner(fcinfo, 2, event, &granted);
	bool		first;

	PreventCommandIfReadOnly("defer.emit()");
	warn_if_not_preloaded();
	first = event_insert(owner, event, payload);
	if (first)
		dependents_end_key(event_key(owner, event), granted);
	PG_RETURN_BOOL(first);
}

/* defer.signal(job_id, name, payload) */
Datum
defer_signal(PG_FUNCTION_ARGS)
{
	char	   *name;
	Jsonb	   *payload;
	JobLook		look;
	int64		id;

	PreventCommandIfReadOnly("defer.signal()");
	require_argument(fcinfo, 0, "job_id");
	id = PG_GETARG_INT64(0);
	name = read_event(fcinfo, 1, "name");
	payload = read_payload(fcinfo, 2);
	warn_if_not_preloaded();
	job_look(id, &look);
	if (!look.found || !role_may_manage(look.owner))
		job_not_found(id);
	if (look.state != PARENT_NOT_ENDED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("job " INT64_FORMAT " has ended", id),
				 errhint("A signal is for a job that waits for it, or will.")));
	event_insert_signal(id, look.owner, name, payload);
	dependents_end_key(event_signal_key(id, name), false);
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------------
 * Rights
 * ------------------------------------------------------------------------ */

static void
change_grant(FunctionCallInfo fcinfo, const char *sql, int expected)
{
	char	   *prefix = read_event(fcinfo, 0, "prefix");
	Oid			types[] = {REGROLEOID, TEXTOID, REGROLEOID};
	Datum		values[3];
	char	   *role;
	OwnSql		own;

	role = args_required_text(fcinfo, 1, "role");
	values[0] = ObjectIdGetDatum(GetUserId());
	values[1] = CStringGetTextDatum(prefix);
	values[2] = ObjectIdGetDatum(get_role_oid(role, false));
	own_sql_begin(&own);
	SPI_connect();
	(void) own_sql_run(sql, lengthof(types), types, values, NULL, expected);
	SPI_finish();
	own_sql_end(&own);
}

/* defer.grant_event(prefix, role) */
Datum
defer_grant_event(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("defer.grant_event()");
	change_grant(fcinfo, "INSERT INTO defer.event_grant (owner, prefix, grantee) VALUES ($1, $2, $3)"
				 " ON CONFLICT DO NOTHING", SPI_OK_INSERT);
	PG_RETURN_VOID();
}

/* defer.revoke_event(prefix, role) */
Datum
defer_revoke_event(PG_FUNCTION_ARGS)
{
	PreventCommandIfReadOnly("defer.revoke_event()");
	change_grant(fcinfo, "DELETE FROM defer.event_grant WHERE owner OPERATOR(pg_catalog.=) $1"
				 " AND prefix OPERATOR(pg_catalog.=) $2 AND grantee OPERATOR(pg_catalog.=) $3",
				 SPI_OK_DELETE);
	PG_RETURN_VOID();
}

/* The same with json */
Datum
defer_emit_json(PG_FUNCTION_ARGS)
{
	const int	json[] = {1};

	return jsonb_call(fcinfo, defer_emit, json, lengthof(json));
}

/* The same with json */
Datum
defer_signal_json(PG_FUNCTION_ARGS)
{
	const int	json[] = {2};

	return jsonb_call(fcinfo, defer_signal, json, lengthof(json));
}
