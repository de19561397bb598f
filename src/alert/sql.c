/*
 * sql.c
 *		Alerts: the rules, and noting what they are about.
 *
 * A rule is a row of defer.alert.  Whoever writes a job's end into the history
 * writes an event for each rule that wants it, in the same transaction; so none
 * is lost and none is made up.  The scheduler collects the events of a rule for
 * a while and makes one message of them: see alert/send.c.
 *
 * Every process keeps the rules until the table is announced as changed, and
 * the states that any rule is about, so that a job's end costs one comparison
 * where nobody wants to hear of it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/callbacks.h"
#include "base/catalog.h"
#include "base/guc_delivery.h"
#include "base/job_kind.h"
#include "base/job_state.h"
#include "base/own_sql.h"
#include "shmem/preload.h"
#include "shmem/xact_notify.h"
#include "function/function.h"
#include "table/direct_insert.h"
#include "table/job_table.h"
#include "delivery/delivery.h"
#include "delivery/endpoint.h"
#include "alert/alert.h"

PG_FUNCTION_INFO_V1(defer_alert);
PG_FUNCTION_INFO_V1(defer_drop_alert);

/* Columns of defer.alert that are read here */
enum
{
	AL_ID = 1, AL_NAME, AL_OWNER, AL_ENDPOINT, AL_RECIPIENTS, AL_FUNCTION, AL_STATES,
	AL_GROUP_WINDOW, AL_RECOVERED, AL_SHOW_ARGS, AL_SCHEDULES
};

/* Columns of defer.alert_event */
enum
{
	EV_ALERT_ID = 1, EV_KIND, EV_SUBJECT, EV_JOB_ID, EV_AT, EV_MESSAGE,
	EV_NATTS = EV_MESSAGE
};

static const char *const event_columns[] = {
	[EV_ALERT_ID - 1] = "alert_id",
	[EV_KIND - 1] = "kind",
	[EV_SUBJECT - 1] = "subject",
	[EV_JOB_ID - 1] = "job_id",
	[EV_AT - 1] = "at",
	[EV_MESSAGE - 1] = "message",
};

/* Longest group_window */
#define WINDOW_MAX	USECS_PER_DAY

typedef struct AlertRule
{
	int32		id;
	Oid			owner;
	int			states;			/* bits: see state_bit() */
	bool		schedules;
	bool		recovered;
	char	   *function;		/* NULL: all */
	List	   *failing;		/* of Failing: functions that were reported */
} AlertRule;

typedef struct Failing
{
	char	   *subject;
	bool		noted;			/* by this process, that it has succeeded */
} Failing;

static MemoryContext rules_context = NULL;
static List *rules = NIL;
static int	wanted = 0;			/* states that any rule is about */
static bool rules_valid = false;
static bool noted_any = false;	/* in the transaction that is under way */

static int
state_bit(char state)
{
	switch (state)
	{
		case STATE_SUCCEEDED:
			return 1;
		case STATE_FAILED:
			return 2;
		case STATE_CANCELLED:
			return 4;
		case STATE_DISCARDED:
			return 8;
	}
	return 0;
}

/* The bit of a state's name; 0: there is no such final state */
static int
named_state_bit(const char *name)
{
	return strcmp(name, "succeeded") == 0 ? state_bit(STATE_SUCCEEDED) :
		strcmp(name, "failed") == 0 ? state_bit(STATE_FAILED) :
		strcmp(name, "cancelled") == 0 ? state_bit(STATE_CANCELLED) :
		strcmp(name, "discarded") == 0 ? state_bit(STATE_DISCARDED) : 0;
}

/* ------------------------------------------------------------------------
 * The rules
 * ------------------------------------------------------------------------ */

static void
forget_rules(Oid relation)
{
	rules_valid = false;
}

/* What was noted in a transaction that was rolled back was not */
static void
alert_xact_callback(XactEvent event)
{
	if (event == XACT_EVENT_ABORT && noted_any)
		rules_valid = false;
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		noted_any = false;
}

static int
states_of_array(Datum array)
{
	Datum	   *names;
	bool	   *nulls;
	int			n;
	int			bits = 0;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		int			bit = nulls[i] ? 0 : named_state_bit(TextDatumGetCString(names[i]));

		if (bit == 0)
			return -1;
		bits |= bit;
	}
	return bits;
}

static AlertRule *
rule_from_tuple(HeapTuple tuple, TupleDesc desc)
{
	AlertRule  *rule = palloc0(sizeof(AlertRule));
	bool		isnull;
	Datum		value;

	rule->id = DatumGetInt32(heap_getattr(tuple, AL_ID, desc, &isnull));
	rule->owner = DatumGetObjectId(heap_getattr(tuple, AL_OWNER, desc, &isnull));
	value = heap_getattr(tuple, AL_FUNCTION, desc, &isnull);
	rule->function = isnull ? NULL : TextDatumGetCString(value);
	rule->states = Max(states_of_array(heap_getattr(tuple, AL_STATES, desc, &isnull)), 0);
	rule->recovered = DatumGetBool(heap_getattr(tuple, AL_RECOVERED, desc, &isnull));
	rule->schedules = DatumGetBool(heap_getattr(tuple, AL_SCHEDULES, desc, &isnull));
	return rule;
}

/* Functions that a message was sent about */
static void
read_failing(Snapshot snapshot)
{
	Relation	rel = table_open(catalog_oid(CAT_ALERT_FAILING), AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	HeapTuple	tuple;

	while ((tuple = systable_getnext(scan)) != NULL)
	{
		bool		isnull;
		int32		id = DatumGetInt32(heap_getattr(tuple, 1, RelationGetDescr(rel), &isnull));
		ListCell   *cell;

		foreach(cell, rules)
		{
			AlertRule  *rule = lfirst(cell);
			Failing    *failing;

			if (rule->id != id || !rule->recovered)
				continue;
			failing = palloc0(sizeof(Failing));
			failing->subject = TextDatumGetCString(heap_getattr(tuple, 2, RelationGetDescr(rel), &isnull));
			rule->failing = lappend(rule->failing, failing);
			wanted |= state_bit(STATE_SUCCEEDED);
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static void
load_rules(void)
{
	MemoryContext context;
	Relation	rel;
	SysScanDesc scan;
	Snapshot	snapshot;
	HeapTuple	tuple;

	defer_on_relcache_change(forget_rules);
	defer_on_xact_event(alert_xact_callback);
	if (rules_context == NULL)
		rules_context = AllocSetContextCreate(CacheMemoryContext, "defer alerts",
											  ALLOCSET_SMALL_SIZES);
	MemoryContextReset(rules_context);
	rules = NIL;
	wanted = 0;
	rel = table_open(catalog_oid(CAT_ALERT), AccessShareLock);
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	rules_valid = true;			/* may be unset again while we read */
	context = MemoryContextSwitchTo(rules_context);
	scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		AlertRule  *rule = rule_from_tuple(tuple, RelationGetDescr(rel));

		rules = lappend(rules, rule);
		wanted |= rule->states;
		if (rule->schedules)
			wanted |= state_bit(STATE_FAILED) | state_bit(STATE_CANCELLED) | state_bit(STATE_DISCARDED);
	}
	systable_endscan(scan);
	if (rules != NIL)
		read_failing(snapshot);
	MemoryContextSwitchTo(context);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
}

void
alerts_changed(void)
{
	CacheInvalidateRelcacheByRelid(catalog_oid(CAT_ALERT));
	rules_valid = false;
}

/* ------------------------------------------------------------------------
 * Noting
 * ------------------------------------------------------------------------ */

bool
alerts_wanted(char state)
{
	if (!rules_valid)
		load_rules();
	return (wanted & state_bit(state)) != 0;
}

/* Not of an alert's own message, or they would go round and round */
static bool
is_alert(const Job *job)
{
	return kind_is_delivery(job->kind) && delivery_text(job->metadata, "alert") != NULL;
}

void
alert_event_insert(int32 alert, char kind, const char *subject, int64 job_id, const char *message)
{
	Datum		values[EV_NATTS];
	bool		nulls[EV_NATTS] = {0};

	values[EV_ALERT_ID - 1] = Int32GetDatum(alert);
	values[EV_KIND - 1] = CharGetDatum(kind);
	values[EV_SUBJECT - 1] = CStringGetTextDatum(subject);
	values[EV_JOB_ID - 1] = Int64GetDatum(job_id);
	nulls[EV_JOB_ID - 1] = job_id == 0;
	values[EV_AT - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[EV_MESSAGE - 1] = message != NULL ? CStringGetTextDatum(message) : (Datum) 0;
	nulls[EV_MESSAGE - 1] = message == NULL;
	direct_insert(catalog_oid(CAT_ALERT_EVENT), event_columns, EV_NATTS, values, nulls);
	xact_notify_alert();
}

/* A function that was reported has succeeded: once a process */
static void
note_success(AlertRule *rule, const char *function, int64 job_id)
{
	ListCell   *cell;

	foreach(cell, rule->failing)
	{
		Failing    *failing = lfirst(cell);

		if (failing->noted || strcmp(failing->subject, function) != 0)
			continue;
		alert_event_insert(rule->id, EVENT_RECOVERED, function, job_id, NULL);
		failing->noted = noted_any = true;
	}
}

void
alerts_note(const Job *job, char state, TimestampTz started_at)
{
	char	   *function = text_to_cstring(job->function);
	bool		skipped = job->schedule_id != 0 && started_at == NO_TIME && state != STATE_SUCCEEDED;
	ListCell   *cell;

	if (is_alert(job))
		return;
	foreach(cell, rules)
	{
		AlertRule  *rule = lfirst(cell);
		bool		wants = (rule->states & state_bit(state)) != 0;

		if ((rule->function != NULL && strcmp(rule->function, function) != 0) ||
			!has_privs_of_role(rule->owner, job->owner))
			continue;
		if (skipped && rule->schedules)
			alert_event_insert(rule->id, EVENT_SKIPPED, function, job->id, NULL);
		else if (wants)
			alert_event_insert(rule->id, state, function, job->id, NULL);
		if (state == STATE_SUCCEEDED && rule->failing != NIL)
			note_success(rule, function, job->id);
	}
}

void
alerts_note_schedule(Oid owner, const char *function, const char *message)
{
	ListCell   *cell;

	if (!rules_valid)
		load_rules();
	foreach(cell, rules)
	{
		AlertRule  *rule = lfirst(cell);

		if (rule->schedules && has_privs_of_role(rule->owner, owner) &&
			(rule->function == NULL || strcmp(rule->function, function) == 0))
			alert_event_insert(rule->id, EVENT_SKIPPED, function, 0, message);
	}
}

/* ------------------------------------------------------------------------
 * SQL
 * ------------------------------------------------------------------------ */

enum
{
	ARG_NAME, ARG_ENDPOINT, ARG_STATES, ARG_FUNCTION, ARG_GROUP_WINDOW, ARG_RECIPIENTS,
	ARG_RECOVERED, ARG_SHOW_ARGS, ARG_SCHEDULES, ARG_BACKLOG, ARG_WORKERS, ARG_N
};

/* The function as jobs name it */
static Datum
function_argument(FunctionCallInfo fcinfo)
{
	char	   *name = text_argument(fcinfo, ARG_FUNCTION);

	if (name_is_ours(name))
		return CStringGetTextDatum(name);
	return CStringGetTextDatum(function_resolve_name(name)->signature);
}

/* Check where messages go; returns the owner of the endpoint, InvalidOid: none is named */
static Oid
check_destination(FunctionCallInfo fcinfo)
{
	char	   *name = text_argument(fcinfo, ARG_ENDPOINT);
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

		deconstruct_array(PG_GETARG_ARRAYTYPE_P(ARG_RECIPIENTS), TEXTOID, -1, false, TYPALIGN_INT,
						  &addresses, &nulls, &n);
		if (n == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"recipients\" must not be empty")));
		for (int i = 0; i < n; i++)
			check_mail_address(nulls[i] ? "" : TextDatumGetCString(addresses[i]), "recipients");
	}
	return endpoint != NULL ? endpoint->owner : InvalidOid;
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
	name = text_argument(fcinfo, ARG_NAME);
	if (name[0] == '\0' || strlen(name) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("name of an alert must have 1 to %d bytes", NAMEDATALEN - 1)));
	check_no_control(name, "name");
	states = states_of_array(PG_GETARG_DATUM(ARG_STATES));
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
	if (!PG_ARGISNULL(ARG_BACKLOG) &&
		setting_interval("backlog", PG_GETARG_INTERVAL_P(ARG_BACKLOG)) < USECS_PER_SEC)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"backlog\" must be at least 1 second")));
	if (states == 0 && PG_ARGISNULL(ARG_BACKLOG) &&
		(PG_ARGISNULL(ARG_SCHEDULES) || !PG_GETARG_BOOL(ARG_SCHEDULES)) &&
		(PG_ARGISNULL(ARG_WORKERS) || !PG_GETARG_BOOL(ARG_WORKERS)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the alert is about nothing"),
				 errhint("Give \"on_states\", \"schedules\", \"backlog\" or \"workers\".")));
	return check_destination(fcinfo);
}

/*
 * defer.alert(name, endpoint, on_states, function, group_window, recipients,
 *			   recovered, show_args, schedules, backlog, workers)
 */
Datum
defer_alert(PG_FUNCTION_ARGS)
{
	Oid			types[ARG_N + 2] = {TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, INTERVALOID,
		TEXTARRAYOID, BOOLOID, BOOLOID, BOOLOID, INTERVALOID, BOOLOID, REGROLEOID, REGROLEOID
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
	(void) own_sql_run("INSERT INTO defer.alert (name, endpoint, states, function, group_window, recipients,"
					   " recovered, show_args, schedules, backlog, workers, owner, endpoint_owner)"
					   " VALUES ($1, $2, $3, $4, $5, $6, COALESCE($7, true), COALESCE($8, true),"
					   " COALESCE($9, false), $10, COALESCE($11, false), $12, $13)"
					   " ON CONFLICT (owner, name) DO UPDATE SET endpoint = EXCLUDED.endpoint,"
					   " endpoint_owner = EXCLUDED.endpoint_owner,"
					   " states = EXCLUDED.states, function = EXCLUDED.function,"
					   " group_window = EXCLUDED.group_window, recipients = EXCLUDED.recipients,"
					   " recovered = EXCLUDED.recovered, show_args = EXCLUDED.show_args,"
					   " schedules = EXCLUDED.schedules, backlog = EXCLUDED.backlog, workers = EXCLUDED.workers",
					   ARG_N + 2, types, values, nulls, SPI_OK_INSERT);
	SPI_finish();
	own_sql_end(&own);
	alerts_changed();
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
		alerts_changed();
	PG_RETURN_BOOL(n > 0);
}
