/*
 * endpoint.c
 *		Endpoints: addresses and credentials of deliveries, under a name.
 *
 * A job carries the name.  The endpoint is read when the job is sent, and its
 * secrets are never shown: not even the owner can read a password back.  An
 * endpoint belongs to the role that made it; that role, those it has been
 * granted to, and their members may send with it.
 *
 * The statement that calls defer.endpoint() holds the secret.  So its text is taken
 * out of pg_stat_activity at once, and no error within the call brings it to the
 * server's log; log_statement and log_duration, which a superuser sets, do.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

#include "base/args.h"
#include "base/jsonb_util.h"
#include "base/own_sql.h"
#include "base/roles.h"
#include "shmem/preload.h"
#include "config/endpoint_settings.h"
#include "config/quota.h"
#include "delivery/delivery.h"
#include "delivery/endpoint.h"

PG_FUNCTION_INFO_V1(defer_endpoint);
PG_FUNCTION_INFO_V1(defer_drop_endpoint);
PG_FUNCTION_INFO_V1(defer_grant_endpoint);
PG_FUNCTION_INFO_V1(defer_revoke_endpoint);

/* Parameters of defer.endpoint(); those before EP_N are columns, too */
enum
{
	EP_NAME, EP_KIND, EP_URL, EP_HEADERS, EP_USERNAME, EP_PASSWORD, EP_SECRET, EP_SENDER, EP_N,
	EP_LIMITS = EP_N, EP_RESET = EP_LIMITS + ENDPOINT_LIMITS
};

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------ */

static char *
text_value(int column)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

Endpoint *
endpoint_read(const char *name)
{
	MemoryContext context = CurrentMemoryContext;
	Endpoint   *endpoint = NULL;
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(name);
	OwnSql		own;

	own_sql_begin(&own);
	SPI_connect();
	if (own_sql_run("SELECT e.kind, e.url, e.username, e.password, e.secret, e.sender, e.headers, e.owner, e.granted, e.paused_until,"
					" e.created_at"
					" FROM defer.endpoint e WHERE e.name OPERATOR(pg_catalog.=) $1",
					1, &type, &value, NULL, SPI_OK_SELECT) == 1)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MemoryContext spi = MemoryContextSwitchTo(context);
		bool		isnull;
		Datum		headers;

		endpoint = palloc0(sizeof(Endpoint));
		endpoint->name = pstrdup(name);
		endpoint->kind = text_value(1);
		endpoint->url = text_value(2);
		endpoint->username = text_value(3);
		endpoint->password = text_value(4);
		endpoint->secret = text_value(5);
		endpoint->sender = text_value(6);
		headers = SPI_getbinval(tuple, desc, 7, &isnull);
		if (!isnull)
			endpoint->headers = (Jsonb *) PG_DETOAST_DATUM_COPY(headers);
		endpoint->owner = DatumGetObjectId(SPI_getbinval(tuple, desc, 8, &isnull));
		endpoint->granted = roles_of_array(SPI_getbinval(tuple, desc, 9, &isnull),
										   &endpoint->ngranted);
		endpoint->paused_until = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 10, &isnull));
		if (isnull)
			endpoint->paused_until = 0;
		endpoint->created_at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 11, &isnull));
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	own_sql_end(&own);
	return endpoint;
}

bool
endpoint_usable_by(const Endpoint *endpoint, Oid role)
{
	if (has_privs_of_role(role, endpoint->owner))
		return true;
	for (int i = 0; i < endpoint->ngranted; i++)
	{
		if (!OidIsValid(endpoint->granted[i]) || has_privs_of_role(role, endpoint->granted[i]))
			return true;
	}
	return false;
}

/*
 * A name that was dropped can be taken by any role, which would get what was meant for
 * another.  The owner may make the endpoint anew: it could change it as well.
 */
void
endpoint_push(JsonbBuilder *state, const char *name, Oid endpoint_owner, TimestampTz created_at,
			  Oid job_owner)
{
	char	   *owner;

	jsonb_push_text(state, "endpoint", name);
	if (endpoint_owner == job_owner)
		return;
	owner = GetUserNameFromId(endpoint_owner, true);
	jsonb_push_text(state, "endpoint_owner", owner != NULL ? owner : "");	/* it was dropped */
	jsonb_push_number(state, "endpoint_created_at", created_at);
}

bool
endpoint_is_meant(const Endpoint *endpoint, const Jsonb *args, Oid job_owner)
{
	return settings_endpoint_is_meant(args, job_owner, endpoint->owner, endpoint->created_at);
}

bool
endpoint_fixes_sender(const Endpoint *endpoint, Oid role)
{
	return endpoint->sender != NULL && !has_privs_of_role(role, endpoint->owner);
}

Endpoint *
endpoint_check(const char *name, const char *kind)
{
	Endpoint   *endpoint = endpoint_read(name);

	if (endpoint == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("endpoint \"%s\" does not exist", name),
				 errhint("Make it with defer.endpoint().")));
	Assert(endpoint != NULL);
	if (!endpoint_usable_by(endpoint, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for endpoint \"%s\"", name),
				 errhint("Its owner can allow it with defer.grant_endpoint().")));
	if (kind != NULL && strcmp(endpoint->kind, kind) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("endpoint \"%s\" is of kind %s, not %s", name, endpoint->kind, kind)));
	return endpoint;
}

/* ------------------------------------------------------------------------
 * Making and changing
 * ------------------------------------------------------------------------ */

/* Keep the statement and what it was called by out of the log, for whatever error */
static void
hide_from_log(void *arg)
{
	(void) errhidestmt(true);
	(void) errhidecontext(true);
}

/*
 * Hide the statement that made the call: it holds secrets.  Errors within the
 * call are logged without it, as an error context callback says so; for errors
 * that come after it, at the commit for one, there is another text in its
 * place.
 */
static void
hide_statement(ErrorContextCallback *callback)
{
	static const char shown[] = "SELECT defer.endpoint(<not shown>)";

	callback->callback = hide_from_log;
	callback->arg = NULL;
	callback->previous = error_context_stack;
	error_context_stack = callback;
	if (debug_query_string == NULL)
		return;
	debug_query_string = shown;
	pgstat_report_activity(STATE_RUNNING, shown);
}

static void
check_endpoint_name(const char *name)
{
	if (name[0] == '\0' || strlen(name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("endpoint name must be 1 to %d bytes long", NAMEDATALEN - 1),
				 errhidestmt(true)));
	delivery_check_no_control(name, "name");
}

static void
not_for_kind(const char *parameter, const char *kind)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" has no meaning for an endpoint of kind %s", parameter, kind),
			 errhidestmt(true)));
}

/* The secret of a webhook: the form of Standard Webhooks, or any text */
static void
check_secret(const char *secret)
{
	delivery_check_no_control(secret, "secret");
	if (strlen(secret) < 16)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"secret\" must have at least 16 characters"),
				 errhidestmt(true)));
}

static void
check_values(FunctionCallInfo fcinfo, const char *kind)
{
	bool		is_mail = strcmp(kind, "email") == 0;
	bool		is_http = strcmp(kind, "http") == 0;

	if (!is_mail && !is_http && strcmp(kind, "slack") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"kind\" must be http, slack or email"),
				 errhidestmt(true)));
	if (!PG_ARGISNULL(EP_URL))
		(void) delivery_check_url(args_text(fcinfo, EP_URL),
								  is_mail ? delivery_mail_schemes : delivery_http_schemes, "url");
	if (!PG_ARGISNULL(EP_HEADERS))
	{
		if (!is_http)
			not_for_kind("headers", kind);
		delivery_check_headers(PG_GETARG_JSONB_P(EP_HEADERS));
	}
	if (!PG_ARGISNULL(EP_USERNAME) || !PG_ARGISNULL(EP_PASSWORD))
	{
		if (!is_http && !is_mail)
			not_for_kind(PG_ARGISNULL(EP_USERNAME) ? "password" : "username", kind);
		if (!PG_ARGISNULL(EP_USERNAME))
		{
			char	   *user = args_text(fcinfo, EP_USERNAME);

			delivery_check_no_control(user, "username");
			if (is_http && strchr(user, ':') != NULL)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("\"username\" must not contain a colon"),
						 errhidestmt(true)));
		}
		if (!PG_ARGISNULL(EP_PASSWORD))
			delivery_check_no_control(args_text(fcinfo, EP_PASSWORD), "password");
	}
	if (!PG_ARGISNULL(EP_SECRET))
	{
		if (!is_http)
			not_for_kind("secret", kind);
		check_secret(args_text(fcinfo, EP_SECRET));
	}
	if (!PG_ARGISNULL(EP_SENDER))
	{
		if (!is_mail)
			not_for_kind("sender", kind);
		delivery_check_mail_address(args_text(fcinfo, EP_SENDER), "sender");
	}
}

/* Values for the table, in the order of the parameters; then the owner */
static void
row_values(FunctionCallInfo fcinfo, Oid owner, Datum *values, char *nulls)
{
	for (int i = 0; i < EP_N; i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	nulls[EP_N] = ' ';
	values[EP_N] = ObjectIdGetDatum(owner);
}

/* Make the row, or change it: only the owner may send the old credentials elsewhere */
static void
write_row(FunctionCallInfo fcinfo, const char *name, bool exists, Oid owner)
{
	Oid			types[EP_N + 1] = {TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID, REGROLEOID};
	Datum		values[EP_N + 1];
	char		nulls[EP_N + 1];
	uint64		changed;

	row_values(fcinfo, owner, values, nulls);
	if (!exists)
	{
		quota_check("endpoint", "endpoints", owner);
		changed = own_sql_run("INSERT INTO defer.endpoint (name, kind, url, headers, username, password, secret, sender, owner)"
							  " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (name) DO NOTHING",
							  EP_N + 1, types, values, nulls, SPI_OK_INSERT);
	}
	else
		changed = own_sql_run("UPDATE defer.endpoint e SET url = COALESCE($3, e.url), headers = COALESCE($4, e.headers),"
							  " username = COALESCE($5, e.username), password = COALESCE($6, e.password),"
							  " secret = COALESCE($7, e.secret), sender = COALESCE($8, e.sender), paused_until = NULL"
							  " WHERE e.name OPERATOR(pg_catalog.=) $1 AND e.kind OPERATOR(pg_catalog.=) $2 AND $9 IS NOT NULL",
							  EP_N + 1, types, values, nulls, SPI_OK_UPDATE);
	if (changed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("endpoint \"%s\" was changed by another session", name),
				 errhint("Try again."),
				 errhidestmt(true)));
}

/*
 * defer.endpoint(name, kind, url, headers, username, password, secret, sender,
 * concurrency, rate, rate_burst, reset)
 */
Datum
defer_endpoint(PG_FUNCTION_ARGS)
{
	const Oid	owner = GetUserId();
	Endpoint   *old;
	char	   *name;
	char	   *kind;
	bool		reset = !PG_ARGISNULL(EP_RESET) && PG_GETARG_BOOL(EP_RESET);
	bool		limits;
	ErrorContextCallback callback;
	OwnSql		own;

	hide_statement(&callback);
	PreventCommandIfReadOnly("defer.endpoint()");
	require_argument(fcinfo, EP_NAME, "name");
	require_argument(fcinfo, EP_KIND, "kind");
	name = args_text(fcinfo, EP_NAME);
	kind = args_text(fcinfo, EP_KIND);
	check_endpoint_name(name);
	check_values(fcinfo, kind);
	limits = endpoint_limits_check(fcinfo, EP_LIMITS) || reset;

	old = endpoint_read(name);
	if (old == NULL && PG_ARGISNULL(EP_URL))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("\"url\" must be given for a new endpoint"),
				 errhidestmt(true)));
	if (old != NULL && !role_may_manage(old->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of endpoint \"%s\"", name),
				 errhint("Choose another name for an endpoint of your own."),
				 errhidestmt(true)));
	if (old != NULL && strcmp(old->kind, kind) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("endpoint \"%s\" is of kind %s", name, old->kind),
				 errhint("Drop it first with defer.drop_endpoint()."),
				 errhidestmt(true)));
	warn_if_not_preloaded();

	own_sql_begin(&own);
	SPI_connect();
	write_row(fcinfo, name, old != NULL, owner);
	if (limits)
		endpoint_limits_write(name, fcinfo, EP_LIMITS, reset);
	SPI_finish();
	own_sql_end(&own);
	error_context_stack = callback.previous;
	PG_RETURN_VOID();
}

/* The endpoint is there and the current user owns it; NULL: it is not there */
static char *
own_endpoint(FunctionCallInfo fcinfo, bool missing_ok)
{
	Endpoint   *endpoint;
	char	   *name;

	require_argument(fcinfo, 0, "name");
	name = args_text(fcinfo, 0);
	endpoint = endpoint_read(name);
	if (endpoint == NULL && missing_ok)
		return NULL;
	if (endpoint == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("endpoint \"%s\" does not exist", name),
				 errhint("Make it with defer.endpoint().")));
	if (!role_may_manage(endpoint->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of endpoint \"%s\"", name)));
	return name;
}

/* defer.drop_endpoint(name): jobs that name it fail */
Datum
defer_drop_endpoint(PG_FUNCTION_ARGS)
{
	char	   *name;
	Oid			type = TEXTOID;
	Datum		value;
	int32		limits_id;
	bool		dropped;
	OwnSql		own;

	PreventCommandIfReadOnly("defer.drop_endpoint()");
	name = own_endpoint(fcinfo, true);
	if (name == NULL)
		PG_RETURN_BOOL(false);
	value = CStringGetTextDatum(name);
	limits_id = endpoint_settings(name)->id;
	own_sql_begin(&own);
	SPI_connect();
	dropped = own_sql_run("DELETE FROM defer.endpoint e WHERE e.name OPERATOR(pg_catalog.=) $1",
						  1, &type, &value, NULL, SPI_OK_DELETE) > 0;
	endpoint_limits_forget(limits_id);
	SPI_finish();
	own_sql_end(&own);
	PG_RETURN_BOOL(dropped);
}

/* ------------------------------------------------------------------------
 * Granting
 * ------------------------------------------------------------------------ */

static Oid
role_argument(FunctionCallInfo fcinfo)
{
	char	   *role;

	require_argument(fcinfo, 1, "role");
	role = args_text(fcinfo, 1);
	return strcmp(role, "public") == 0 ? InvalidOid : get_role_oid(role, false);
}

static void
write_granted(FunctionCallInfo fcinfo, const char *sql)
{
	Oid			types[] = {TEXTOID, OIDOID};
	Datum		values[2];
	OwnSql		own;

	PreventCommandIfReadOnly("defer.grant_endpoint()");
	values[0] = CStringGetTextDatum(own_endpoint(fcinfo, false));
	values[1] = ObjectIdGetDatum(role_argument(fcinfo));
	own_sql_begin(&own);
	SPI_connect();
	(void) own_sql_run(sql, 2, types, values, NULL, SPI_OK_UPDATE);
	SPI_finish();
	own_sql_end(&own);
}

/* defer.grant_endpoint(name, role) */
Datum
defer_grant_endpoint(PG_FUNCTION_ARGS)
{
	write_granted(fcinfo, "UPDATE defer.endpoint e"
				  " SET granted = pg_catalog.array_append(e.granted, $2::pg_catalog.regrole)"
				  " WHERE e.name OPERATOR(pg_catalog.=) $1"
				  " AND $2::pg_catalog.regrole OPERATOR(pg_catalog.<>) ALL (e.granted)");
	PG_RETURN_VOID();
}

/* defer.revoke_endpoint(name, role) */
Datum
defer_revoke_endpoint(PG_FUNCTION_ARGS)
{
	write_granted(fcinfo, "UPDATE defer.endpoint e"
				  " SET granted = pg_catalog.array_remove(e.granted, $2::pg_catalog.regrole)"
				  " WHERE e.name OPERATOR(pg_catalog.=) $1");
	PG_RETURN_VOID();
}
