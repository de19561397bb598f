/*
 * sql.c
 *		defer.alert() and defer.drop_alert(): the rules of alerts.
 *
 * Events are recorded by table/alert_event.c; alert/collect.c makes messages of
 * them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/guc_delivery.h"
#include "base/job_kind.h"
#include "base/own_sql.h"
#include "config/job_target.h"
#include "config/quota.h"
#include "shmem/preload.h"
#include "shmem/xact_notify.h"
#include "table/alert_event.h"
#include "delivery/delivery.h"
#include "delivery/endpoint.h"
#include "alert/alert.h"

PG_FUNCTION_INFO_V1(defer_alert);
PG_FUNCTION_INFO_V1(defer_drop_alert);

/* Longest group_window */
#define WINDOW_MAX	USECS_PER_DAY

/* ------------------------------------------------------------------------
 * SQL
 * ------------------------------------------------------------------------ */

enum
{
	ARG_NAME, ARG_ENDPOINT, ARG_STATES, ARG_FUNCTION, ARG_GROUP_WINDOW, ARG_RECIPIENTS,
	ARG_RECOVERED, ARG_SHOW_ARGS, ARG_SCHEDULES, ARG_BACKLOG, ARG_WORKERS, ARG_RETRIES,
	ARG_STEP_WAITS, ARG_N
};

/* The function as jobs name it */
static Datum
function_argument(FunctionCallInfo fcinfo)
{
	char	   *name = args_text(fcinfo, ARG_FUNCTION);
	JobTarget	target;

	if (name_is_ours(name))
		return CStringGetTextDatum(name);
	job_target_resolve_name(name, &target);
	return CStringGetTextDatum(target.name);
}

/* Check where messages go; returns the owner of the endpoint, InvalidOid: none is named */
static Oid
check_destination(FunctionCallInfo fcinfo)
{
	char	   *name = args_text(fcinfo, ARG_ENDPOINT);
	bool		has_recipients = !PG_ARGISNULL(ARG_RECIPIENTS);
	const char *kind = "email";
	Endpoint   *endpoint = NULL;

	if (name == NULL && !has_recipients)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("\"endpoint\" or \"recipients\" must be given"),
				 errhint("Make an endpoint with defer.endpoint().")));
	if (name != NULL)
	{
		endpoint = endpoint_check(name, NULL);
		kind = endpoint->kind;
		if ((strcmp(endpoint->kind, "email") == 0) != has_recipients)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 has_recipients ?
					 errmsg("\"recipients\" have no meaning for an endpoint of kind %s", endpoint->kind) :
					 errmsg("\"recipients\" must be given for an endpoint of kind email")));
	}
	else if (defer_smtp_url == NULL || defer_smtp_url[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no SMTP server is configured"),
				 errhint("Name an endpoint of kind email, or have the administrator set defer.smtp_url.")));
	if (!delivery_allowed(kind, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function defer.%s", kind),
				 errdetail("Messages of the alert would be sent with it."),
				 errhint("The administrator can GRANT EXECUTE on it.")));
	if (has_recipients)
	{
		Datum	   *addresses;
		bool	   *nulls;
		int			n;

		args_text_array(PG_GETARG_DATUM(ARG_RECIPIENTS), &addresses, &nulls, &n);
		if (n == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"recipients\" must not be empty")));
		for (int i = 0; i < n; i++)
			delivery_check_mail_address(nulls[i] ? "" : TextDatumGetCString(addresses[i]), "recipients");
	}
	return endpoint != NULL ? endpoint->owner : InvalidOid;
}

/* Check how long something has to last */
static void
check_time(FunctionCallInfo fcinfo, int arg, const char *name)
{
	if (!PG_ARGISNULL(arg) &&
		setting_interval(name, PG_GETARG_INTERVAL_P(arg)) < USECS_PER_SEC)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be at least 1 second", name)));
}

/* Check all arguments; returns the owner of the endpoint, InvalidOid: none is named */
static Oid
check_alert(FunctionCallInfo fcinfo)
{
	char	   *name;
	int			states;
	int64		window;

	require_argument(fcinfo, ARG_NAME, "name");
	require_argument(fcinfo, ARG_STATES, "on_states");
	require_argument(fcinfo, ARG_GROUP_WINDOW, "group_window");
	name = args_text(fcinfo, ARG_NAME);
	args_check_name("alert", name, NAMEDATALEN - 1);
	states = alert_states_of_array(PG_GETARG_DATUM(ARG_STATES));
	if (states < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"on_states\" must contain final states"),
				 errhint("Those are succeeded, failed, cancelled and discarded.")));
	window = setting_interval("group_window", PG_GETARG_INTERVAL_P(ARG_GROUP_WINDOW));
	if (window > WINDOW_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"group_window\" must be at most 1 day")));
	check_time(fcinfo, ARG_BACKLOG, "backlog");
	check_time(fcinfo, ARG_STEP_WAITS, "step_waits");
	if (!PG_ARGISNULL(ARG_RETRIES) && args_int32(fcinfo, ARG_RETRIES, "retries") < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"retries\" must be at least 1")));
	if (states == 0 && PG_ARGISNULL(ARG_BACKLOG) &&
		(PG_ARGISNULL(ARG_SCHEDULES) || !PG_GETARG_BOOL(ARG_SCHEDULES)) &&
		PG_ARGISNULL(ARG_RETRIES) && PG_ARGISNULL(ARG_STEP_WAITS) &&
		(PG_ARGISNULL(ARG_WORKERS) || !PG_GETARG_BOOL(ARG_WORKERS)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the alert is about nothing"),
				 errhint("Give \"on_states\", \"schedules\", \"backlog\", \"workers\", \"retries\" or \"step_waits\".")));
	return check_destination(fcinfo);
}

/* Error if the role has as many alerts as it may, and none of that name */
static void
check_quota(Datum name, Oid owner)
{
	Oid			types[] = {TEXTOID, REGROLEOID};
	Datum		values[] = {name, ObjectIdGetDatum(owner)};

	if (own_sql_run("SELECT FROM defer.alert a WHERE a.name OPERATOR(pg_catalog.=) $1"
					" AND a.owner OPERATOR(pg_catalog.=) $2",
					lengthof(types), types, values, NULL, SPI_OK_SELECT) == 0)
		quota_check("alert", "alerts", owner);
}

/*
 * defer.alert(name, endpoint, on_states, function, group_window, recipients,
 *			   recovered, show_args, schedules, backlog, workers, retries, step_waits)
 */
Datum
defer_alert(PG_FUNCTION_ARGS)
{
	Oid			types[ARG_N + 2] = {TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, INTERVALOID,
		TEXTARRAYOID, BOOLOID, BOOLOID, BOOLOID, INTERVALOID, BOOLOID, INT8OID, INTERVALOID,
		REGROLEOID, REGROLEOID
	};
	Datum		values[ARG_N + 2];
	char		nulls[ARG_N + 2];
	Oid			endpoint_owner;
	OwnSql		own;

	PreventCommandIfReadOnly("defer.alert()");
	endpoint_owner = check_alert(fcinfo);
	warn_if_not_preloaded();
	for (int i = 0; i < ARG_N; i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 :
			i == ARG_FUNCTION ? function_argument(fcinfo) : PG_GETARG_DATUM(i);
	}
	nulls[ARG_N] = ' ';
	values[ARG_N] = ObjectIdGetDatum(GetUserId());
	nulls[ARG_N + 1] = OidIsValid(endpoint_owner) ? ' ' : 'n';
	values[ARG_N + 1] = ObjectIdGetDatum(endpoint_owner);

	own_sql_begin(&own);
	SPI_connect();
	check_quota(values[ARG_NAME], DatumGetObjectId(values[ARG_N]));
	(void) own_sql_run("INSERT INTO defer.alert (name, endpoint, states, function, group_window, recipients,"
					   " recovered, show_args, schedules, backlog, workers, retries, step_waits, owner, endpoint_owner)"
					   " VALUES ($1, $2, $3, $4, $5, $6, COALESCE($7, true), COALESCE($8, true),"
					   " COALESCE($9, false), $10, COALESCE($11, false), $12, $13, $14, $15)"
					   " ON CONFLICT (owner, name) DO UPDATE SET endpoint = EXCLUDED.endpoint,"
					   " endpoint_owner = EXCLUDED.endpoint_owner,"
					   " states = EXCLUDED.states, function = EXCLUDED.function,"
					   " group_window = EXCLUDED.group_window, recipients = EXCLUDED.recipients,"
					   " recovered = EXCLUDED.recovered, show_args = EXCLUDED.show_args,"
					   " schedules = EXCLUDED.schedules, backlog = EXCLUDED.backlog,"
					   " workers = EXCLUDED.workers, retries = EXCLUDED.retries,"
					   " step_waits = EXCLUDED.step_waits",
					   ARG_N + 2, types, values, nulls, SPI_OK_INSERT);
	SPI_finish();
	own_sql_end(&own);
	alert_rules_changed();
	xact_notify_alert();
	PG_RETURN_VOID();
}

/*
 * The alert that a user means: one's own, or else that of the only other role
 * that has one and is managed.  0: there is none.
 */
static int32
find_alert(Datum name, Oid user)
{
	Oid			types[] = {TEXTOID, REGROLEOID};
	Datum		values[] = {name, ObjectIdGetDatum(user)};
	uint64		n = own_sql_run("SELECT a.id, a.owner OPERATOR(pg_catalog.=) $2 FROM defer.alert a"
								" WHERE a.name OPERATOR(pg_catalog.=) $1 AND pg_catalog.pg_has_role($2, a.owner, 'USAGE')"
								" ORDER BY a.owner OPERATOR(pg_catalog.=) $2 DESC LIMIT 2",
								2, types, values, NULL, SPI_OK_SELECT);
	HeapTuple	first;
	TupleDesc	desc;
	bool		isnull;

	if (n == 0)
		return 0;
	first = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	if (n > 1 && !DatumGetBool(SPI_getbinval(first, desc, 2, &isnull)))
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_PARAMETER),
				 errmsg("several roles have an alert \"%s\"", TextDatumGetCString(name)),
				 errhint("Use SET ROLE to become the role whose alert it is.")));
	return DatumGetInt32(SPI_getbinval(first, desc, 1, &isnull));
}

/* defer.drop_alert(name) */
Datum
defer_drop_alert(PG_FUNCTION_ARGS)
{
	const Oid	user = GetUserId();
	Oid			type = INT4OID;
	Datum		value;
	uint64		n = 0;
	OwnSql		own;

	PreventCommandIfReadOnly("defer.drop_alert()");
	require_argument(fcinfo, 0, "name");
	own_sql_begin(&own);
	SPI_connect();
	value = Int32GetDatum(find_alert(PG_GETARG_DATUM(0), user));
	if (DatumGetInt32(value) != 0)
		n = own_sql_run("WITH gone AS (DELETE FROM defer.alert a WHERE a.id OPERATOR(pg_catalog.=) $1 RETURNING a.id),"
						" events AS (DELETE FROM defer.alert_event e USING gone WHERE e.alert_id OPERATOR(pg_catalog.=) gone.id),"
						" failing AS (DELETE FROM defer.alert_failing f USING gone WHERE f.alert_id OPERATOR(pg_catalog.=) gone.id)"
						" SELECT gone.id FROM gone",
						1, &type, &value, NULL, SPI_OK_SELECT);
	SPI_finish();
	own_sql_end(&own);
	if (n > 0)
		alert_rules_changed();
	PG_RETURN_BOOL(n > 0);
}
