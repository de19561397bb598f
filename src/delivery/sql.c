/*
 * sql.c
 *		defer.http(), defer.email(), defer.slack(): a delivery as a job, in the
 *		caller's transaction.  Checked here as far as it can be; sent by the sender.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/base64.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/jsonb_util.h"
#include "pure/url_check.h"
#include "base/args.h"
#include "base/compat.h"
#include "base/guc_delivery.h"
#include "base/guc_job.h"
#include "base/job_kind.h"
#include "shmem/preload.h"
#include "job/enqueue.h"
#include "delivery/delivery.h"
#include "delivery/endpoint.h"

PG_FUNCTION_INFO_V1(defer_http);
PG_FUNCTION_INFO_V1(defer_email);
PG_FUNCTION_INFO_V1(defer_slack);

/* Most recipients of an e-mail */
#define RECIPIENTS_MAX	1000

#define REDIRECTS_MAX	20

enum
{
	HTTP_METHOD, HTTP_URL, HTTP_BODY, HTTP_HEADERS, HTTP_ENDPOINT, HTTP_TIMEOUT,
	HTTP_CONNECT_TIMEOUT, HTTP_FOLLOW_REDIRECTS, HTTP_MAX_RESPONSE, HTTP_OPTIONS
};

enum
{
	MAIL_RECIPIENTS, MAIL_SUBJECT, MAIL_BODY, MAIL_HTML, MAIL_CC, MAIL_BCC, MAIL_REPLY_TO,
	MAIL_SENDER, MAIL_ENDPOINT, MAIL_TIMEOUT, MAIL_OPTIONS
};

enum
{
	SLACK_ENDPOINT, SLACK_TEXT, SLACK_BLOCKS, SLACK_TIMEOUT, SLACK_OPTIONS
};

/* ------------------------------------------------------------------------
 * Arguments
 * ------------------------------------------------------------------------ */

static void
push_timeout(JsonbBuilder *state, FunctionCallInfo fcinfo, int n, const char *name,
			 int64 by_itself)
{
	int64		timeout;

	if (PG_ARGISNULL(n))
		return;
	timeout = setting_interval(name, PG_GETARG_INTERVAL_P(n));
	if (timeout < 1000 || timeout > DELIVERY_TIMEOUT_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be from 1 millisecond to 1 hour", name)));
	if (timeout != by_itself)
		jsonb_push_number(state, name, timeout);
}

/* Messages are large, many may be sent by one statement: memory of a call goes with it */
static MemoryContext
begin_call(const char *command)
{
	PreventCommandIfReadOnly(command);
	warn_if_not_preloaded();
	return MemoryContextSwitchTo(AllocSetContextCreate(CurrentMemoryContext, "defer send",
													   ALLOCSET_DEFAULT_SIZES));
}

static Datum
end_call(MemoryContext outer, int64 id)
{
	MemoryContextDelete(MemoryContextSwitchTo(outer));
	PG_RETURN_INT64(id);
}

/* ------------------------------------------------------------------------
 * HTTP
 * ------------------------------------------------------------------------ */

static char *
http_method(FunctionCallInfo fcinfo)
{
	static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
	char	   *method;

	require_argument(fcinfo, HTTP_METHOD, "method");
	method = args_text(fcinfo, HTTP_METHOD);
	for (int i = 0; i < lengthof(methods); i++)
	{
		if (pg_strcasecmp(method, methods[i]) == 0)
			return pstrdup(methods[i]);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" is not a method", method),
			 errhint("Use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.")));
}

/* With an endpoint: nothing, or what comes after its URL */
static char *
http_url(FunctionCallInfo fcinfo, const char *endpoint)
{
	char	   *url = args_text(fcinfo, HTTP_URL);

	if (endpoint == NULL)
	{
		require_argument(fcinfo, HTTP_URL, "url");
		return delivery_check_url(url, delivery_http_schemes, "url");
	}
	if (url == NULL || url[0] == '\0')
		return NULL;
	if (url[0] != '/' && url[0] != '?')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("with an endpoint \"url\" must begin with / or ?"),
				 errdetail("It is what comes after the URL of the endpoint.")));
	delivery_check_no_control(url, "url");
	if (url_path_climbs(url))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("with an endpoint \"url\" must not have \".\" or \"..\" in its path")));
	(void) delivery_check_url(psprintf("http://endpoint%s", url), delivery_http_schemes, "url");
	return url;
}

/* The type of an argument that may be of several; domains are what they are over */
static Oid
argument_type(FunctionCallInfo fcinfo, int n)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, n);

	return OidIsValid(type) ? getBaseType(type) : InvalidOid;
}

static void
push_http_body(JsonbBuilder *state, FunctionCallInfo fcinfo)
{
	Oid			type = argument_type(fcinfo, HTTP_BODY);

	if (PG_ARGISNULL(HTTP_BODY))
		return;
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			jsonb_push_text(state, "body", text_to_cstring(PG_GETARG_TEXT_PP(HTTP_BODY)));
			break;
		case JSONOID:
			jsonb_push_text(state, "body", text_to_cstring(PG_GETARG_TEXT_PP(HTTP_BODY)));
			jsonb_push_text(state, "type", "application/json");
			break;
		case JSONBOID:
			{
				Jsonb	   *json = PG_GETARG_JSONB_P(HTTP_BODY);

				jsonb_push_text(state, "body", JsonbToCString(NULL, &json->root, VARSIZE(json)));
				jsonb_push_text(state, "type", "application/json");
				break;
			}
		case BYTEAOID:
			{
				bytea	   *bytes = PG_GETARG_BYTEA_PP(HTTP_BODY);
				int			length = VARSIZE_ANY_EXHDR(bytes);
				int			room;
				char	   *encoded;

				if (length > defer_max_payload * 1024)
					ereport(ERROR,
							(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							 errmsg("\"body\" of %d bytes is too large for a job", length),
							 errhint("defer.max_payload is %d kB.", defer_max_payload)));
				room = pg_b64_enc_len(length) + 1;
				encoded = palloc(room);
				length = compat_b64_encode(VARDATA_ANY(bytes), length, encoded, room);
				jsonb_push_bytes(state, "base64", encoded, Max(length, 0));
				break;
			}
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("\"body\" must be text, json, jsonb or bytea, not %s", format_type_be(type)),
					 errhint("Use to_jsonb().")));
	}
}

static void
push_http_limits(JsonbBuilder *state, FunctionCallInfo fcinfo, const char *endpoint)
{
	int32		redirects = PG_ARGISNULL(HTTP_FOLLOW_REDIRECTS) ? 0 :
		args_int32(fcinfo, HTTP_FOLLOW_REDIRECTS, "follow_redirects");

	push_timeout(state, fcinfo, HTTP_TIMEOUT, "timeout", HTTP_DEFAULT_TIMEOUT);
	push_timeout(state, fcinfo, HTTP_CONNECT_TIMEOUT, "connect_timeout",
				 HTTP_DEFAULT_CONNECT_TIMEOUT);
	if (redirects < 0 || redirects > REDIRECTS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"follow_redirects\" must be from 0 to %d", REDIRECTS_MAX)));
	if (redirects > 0 && endpoint != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"follow_redirects\" and \"endpoint\" are both given"),
				 errdetail("Credentials of an endpoint do not follow a redirect.")));
	if (redirects > 0)
		jsonb_push_number(state, "redirects", redirects);
	if (!PG_ARGISNULL(HTTP_MAX_RESPONSE))
	{
		int32		max_response = args_int32(fcinfo, HTTP_MAX_RESPONSE, "max_response");

		if (max_response < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"max_response\" must not be negative")));
		if (max_response != HTTP_DEFAULT_MAX_RESPONSE)
			jsonb_push_number(state, "max_response", max_response);
	}
}

Jsonb *
delivery_read_http(FunctionCallInfo fcinfo)
{
	JsonbBuilder state = {0};
	char	   *method = http_method(fcinfo);
	char	   *endpoint = args_text(fcinfo, HTTP_ENDPOINT);
	char	   *url;
	const Endpoint *found = endpoint != NULL ? endpoint_check(endpoint, "http") : NULL;

	url = http_url(fcinfo, endpoint);
	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_text(&state, "method", method);
	if (url != NULL)
		jsonb_push_text(&state, "url", url);
	if (found != NULL)
		endpoint_push(&state, endpoint, found->owner, found->created_at, GetUserId());
	push_http_body(&state, fcinfo);
	if (!PG_ARGISNULL(HTTP_HEADERS))
	{
		delivery_check_headers(PG_GETARG_JSONB_P(HTTP_HEADERS));
		jsonb_push_json(&state, "headers", PG_GETARG_JSONB_P(HTTP_HEADERS));
	}
	push_http_limits(&state, fcinfo, endpoint);
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
}

Datum
defer_http(PG_FUNCTION_ARGS)
{
	MemoryContext outer = begin_call("defer.http()");

	return end_call(outer,
					enqueue_job(fcinfo, HTTP_OPTIONS, JOB_HTTP, HTTP_FUNCTION, InvalidOid,
								delivery_read_http(fcinfo)));
}

/* ------------------------------------------------------------------------
 * E-mail
 * ------------------------------------------------------------------------ */

/* Addresses as a JSON array; returns how many */
static int
push_addresses(JsonbBuilder *state, const char *key, const char *parameter, Datum *values,
			   bool *nulls, int n)
{
	JsonbBuilder array = {0};
	int			count = 0;

	(void) jsonb_push(&array, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < n; i++)
	{
		JsonbValue	value;
		char	   *address;

		if (nulls != NULL && nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("\"%s\" must not contain NULL", parameter)));
		address = TextDatumGetCString(values[i]);
		delivery_check_mail_address(address, parameter);
		value.type = jbvString;
		value.val.string.val = address;
		value.val.string.len = strlen(address);
		(void) jsonb_push(&array, WJB_ELEM, &value);
		count++;
	}
	jsonb_push_json(state, key, JsonbValueToJsonb(jsonb_push(&array, WJB_END_ARRAY, NULL)));
	return count;
}

static int
push_address_array(JsonbBuilder *state, FunctionCallInfo fcinfo, int n, const char *key,
				   const char *parameter)
{
	Datum	   *values;
	bool	   *nulls;
	int			count;

	if (PG_ARGISNULL(n))
		return 0;
	args_text_array(PG_GETARG_DATUM(n), &values, &nulls, &count);
	return push_addresses(state, key, parameter, values, nulls, count);
}

/* Refuse an array that a driver has sent without a type, which makes it text */
static void
check_no_array(const char *recipients)
{
	size_t		length = strlen(recipients);

	if (length > 0 && recipients[0] == '{' && recipients[length - 1] == '}')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"recipients\" is the text of an array"),
				 errhint("Give its type, as in $1::text[].")));
}

/* One address or an array of them */
static int
push_recipients(JsonbBuilder *state, FunctionCallInfo fcinfo)
{
	Oid			type = argument_type(fcinfo, MAIL_RECIPIENTS);
	Datum		one;

	require_argument(fcinfo, MAIL_RECIPIENTS, "recipients");
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			one = PointerGetDatum(PG_GETARG_TEXT_PP(MAIL_RECIPIENTS));
			check_no_array(TextDatumGetCString(one));
			return push_addresses(state, "to", "recipients", &one, NULL, 1);
		case TEXTARRAYOID:
		case VARCHARARRAYOID:
			return push_address_array(state, fcinfo, MAIL_RECIPIENTS, "to", "recipients");
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("\"recipients\" must be text or an array of text, not %s",
							format_type_be(type))));
	}
}

static void
push_one_line(JsonbBuilder *state, FunctionCallInfo fcinfo, int n, const char *name)
{
	char	   *value;

	require_argument(fcinfo, n, name);
	value = args_text(fcinfo, n);
	delivery_check_no_control(value, name);
	if (strlen(value) > 1000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must have at most 1000 bytes", name)));
	jsonb_push_text(state, name, value);
}

static void
push_address(JsonbBuilder *state, FunctionCallInfo fcinfo, int n, const char *key,
			 const char *parameter)
{
	char	   *address = args_text(fcinfo, n);

	if (address == NULL)
		return;
	delivery_check_mail_address(address, parameter);
	jsonb_push_text(state, key, address);
}

/*
 * Check that there is a server and a sender: not when the job runs, but now.  Returns
 * the endpoint, NULL: none is named.
 */
static Endpoint *
check_mail_server(FunctionCallInfo fcinfo, const char *name)
{
	char	   *sender = args_text(fcinfo, MAIL_SENDER);
	Endpoint   *endpoint = NULL;

	if (name != NULL)
	{
		endpoint = endpoint_check(name, "email");
		if (sender != NULL && endpoint_fixes_sender(endpoint, GetUserId()) &&
			strcmp(sender, endpoint->sender) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to choose the sender of endpoint \"%s\"", name),
					 errhint("Leave out \"sender\": mails over this endpoint come from \"%s\".",
							 endpoint->sender)));
	}
	else if (defer_smtp_url == NULL || defer_smtp_url[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no SMTP server is configured"),
				 errhint("Name an endpoint of kind email, or have the administrator set defer.smtp_url.")));
	else if (sender == NULL && (defer_smtp_from == NULL || defer_smtp_from[0] == '\0'))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("\"sender\" must be given"),
				 errhint("Or have the administrator set defer.smtp_from.")));
	return endpoint;
}

Jsonb *
delivery_read_email(FunctionCallInfo fcinfo)
{
	JsonbBuilder state = {0};
	char	   *name = args_text(fcinfo, MAIL_ENDPOINT);
	Endpoint   *endpoint = check_mail_server(fcinfo, name);
	int			recipients;

	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	recipients = push_recipients(&state, fcinfo);
	recipients += push_address_array(&state, fcinfo, MAIL_CC, "cc", "cc");
	recipients += push_address_array(&state, fcinfo, MAIL_BCC, "bcc", "bcc");
	if (recipients == 0 || recipients > RECIPIENTS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an e-mail must have from 1 to %d recipients", RECIPIENTS_MAX)));
	push_one_line(&state, fcinfo, MAIL_SUBJECT, "subject");
	if (PG_ARGISNULL(MAIL_BODY) && PG_ARGISNULL(MAIL_HTML))
		require_argument(fcinfo, MAIL_BODY, "body");
	if (!PG_ARGISNULL(MAIL_BODY))
		jsonb_push_text(&state, "body", args_text(fcinfo, MAIL_BODY));
	if (!PG_ARGISNULL(MAIL_HTML))
		jsonb_push_text(&state, "html", args_text(fcinfo, MAIL_HTML));
	push_address(&state, fcinfo, MAIL_REPLY_TO, "reply_to", "reply_to");
	push_address(&state, fcinfo, MAIL_SENDER, "from", "sender");
	if (endpoint != NULL)
		endpoint_push(&state, name, endpoint->owner, endpoint->created_at, GetUserId());
	push_timeout(&state, fcinfo, MAIL_TIMEOUT, "timeout", MAIL_DEFAULT_TIMEOUT);
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
}

Datum
defer_email(PG_FUNCTION_ARGS)
{
	MemoryContext outer = begin_call("defer.email()");

	return end_call(outer,
					enqueue_job(fcinfo, MAIL_OPTIONS, JOB_EMAIL, EMAIL_FUNCTION, InvalidOid,
								delivery_read_email(fcinfo)));
}

/* ------------------------------------------------------------------------
 * Slack
 * ------------------------------------------------------------------------ */

Datum
defer_slack(PG_FUNCTION_ARGS)
{
	MemoryContext outer = begin_call("defer.slack()");
	JsonbBuilder state = {0};
	char	   *name;
	Endpoint   *endpoint;

	require_argument(fcinfo, SLACK_ENDPOINT, "endpoint");
	require_argument(fcinfo, SLACK_TEXT, "text");
	name = args_text(fcinfo, SLACK_ENDPOINT);
	endpoint = endpoint_check(name, "slack");
	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	endpoint_push(&state, name, endpoint->owner, endpoint->created_at, GetUserId());
	jsonb_push_text(&state, "text", args_text(fcinfo, SLACK_TEXT));
	if (!PG_ARGISNULL(SLACK_BLOCKS))
	{
		Jsonb	   *blocks = PG_GETARG_JSONB_P(SLACK_BLOCKS);

		if (!JB_ROOT_IS_ARRAY(blocks) || JB_ROOT_IS_SCALAR(blocks))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"blocks\" must be a JSON array"),
					 errhint("It holds blocks of Slack's Block Kit.")));
		jsonb_push_json(&state, "blocks", blocks);
	}
	push_timeout(&state, fcinfo, SLACK_TIMEOUT, "timeout", HTTP_DEFAULT_TIMEOUT);
	return end_call(outer,
					enqueue_job(fcinfo, SLACK_OPTIONS, JOB_SLACK, SLACK_FUNCTION, InvalidOid,
								JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL))));
}
