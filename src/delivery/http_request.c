/*
 * http_request.c
 *		HTTP requests, and messages to Slack, which are one.
 *
 * A request with an endpoint goes to the endpoint's URL, or to a path after it,
 * and nowhere else: credentials never follow a redirect.  What the endpoint says
 * in headers the job cannot change.
 */
#include "postgres.h"

#include <time.h>

#include "common/base64.h"
#include "common/cryptohash.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/job.h"
#include "base/job_kind.h"
#include "base/jsonb_util.h"
#include "delivery/dispatch.h"

/* The headers of a request, as they are put together */
typedef struct Request
{
	List	   *lines;
	const Endpoint *endpoint;	/* NULL: none */
	bool		has_type;
	bool		has_key;
} Request;

/* ------------------------------------------------------------------------
 * Headers
 * ------------------------------------------------------------------------ */

static void
add_line(Request *request, char *line)
{
	request->lines = lappend(request->lines, line);
}

static void
add_header(const char *name, const char *value, void *context)
{
	Request    *request = context;

	if (pg_strcasecmp(name, "content-type") == 0)
		request->has_type = true;
	if (pg_strcasecmp(name, "idempotency-key") == 0)
		request->has_key = true;
	/* libcurl wants it so, if there is nothing after the colon */
	add_line(request, value[0] == '\0' ? psprintf("%s;", name) : psprintf("%s: %s", name, value));
}

/*
 * Check whether the endpoint decides about this header: its own, its
 * credentials, its signature
 */
static bool
is_endpoints(const Endpoint *endpoint, const char *name)
{
	static const char *const signature[] = {"webhook-id", "webhook-timestamp", "webhook-signature"};
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	found;

	if (endpoint->username != NULL && pg_strcasecmp(name, "authorization") == 0)
		return true;
	for (int i = 0; endpoint->secret != NULL && i < lengthof(signature); i++)
	{
		if (pg_strcasecmp(name, signature[i]) == 0)
			return true;
	}
	if (endpoint->headers == NULL)
		return false;
	iterator = JsonbIteratorInit(&endpoint->headers->root);
	while ((token = JsonbIteratorNext(&iterator, &found, true)) != WJB_DONE)
	{
		if (token == WJB_KEY && found.val.string.len == strlen(name) &&
			pg_strncasecmp(found.val.string.val, name, found.val.string.len) == 0)
			return true;
	}
	return false;
}

static void
add_job_header(const char *name, const char *value, void *context)
{
	Request    *request = context;

	if (request->endpoint == NULL || !is_endpoints(request->endpoint, name))
		add_header(name, value, context);
}

/* ------------------------------------------------------------------------
 * The body
 * ------------------------------------------------------------------------ */

/* Read the body from the job's arguments; returns its length, -1: there is none */
static int64
request_body(const Job *job, char **body, const char **type)
{
	const char *text = jsonb_read_text(job->args, "body");
	const char *base64 = jsonb_read_text(job->args, "base64");

	if (text != NULL)
	{
		*type = jsonb_read_text(job->args, "type");
		if (*type == NULL)
			*type = "text/plain; charset=utf-8";
		*body = delivery_to_utf8(text);
		return strlen(*body);
	}
	if (base64 != NULL)
	{
		int			room = pg_b64_dec_len(strlen(base64)) + 1;
		int			length;

		*type = "application/octet-stream";
		*body = palloc(room);
		length = compat_b64_decode(base64, strlen(base64), *body, room);
		return Max(length, 0);
	}
	return -1;
}

/* Write the message as Slack's webhooks take it */
static char *
slack_body(const Job *job)
{
	JsonbBuilder state = {0};
	const char *text = jsonb_read_text(job->args, "text");
	Jsonb	   *blocks = jsonb_read_json(job->args, "blocks");
	Jsonb	   *message;

	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_text(&state, "text", text != NULL ? text : "");
	if (blocks != NULL)
		jsonb_push_json(&state, "blocks", blocks);
	message = JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
	return delivery_to_utf8(JsonbToCString(NULL, &message->root, VARSIZE(message)));
}

/* ------------------------------------------------------------------------
 * The signature
 * ------------------------------------------------------------------------ */

/*
 * Read the secret as bytes: "whsec_" and base64 as Standard Webhooks has it, or as
 * it stands.  Returns how many.
 */
static int
secret_bytes(const char *secret, char **bytes)
{
	if (strncmp(secret, "whsec_", 6) == 0)
	{
		int			room = pg_b64_dec_len(strlen(secret)) + 1;
		int			length;

		*bytes = palloc(room);
		length = compat_b64_decode(secret + 6, strlen(secret) - 6, *bytes, room);
		if (length > 0)
			return length;
	}
	*bytes = pstrdup(secret);
	return strlen(secret);
}

/* Sign with HMAC-SHA256 over id, time and body, in the form of Standard Webhooks */
static void
sign(Request *request, const char *secret, const char *id, const char *body, int64 length)
{
	pg_hmac_ctx *hmac = pg_hmac_create(PG_SHA256);
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	char		encoded[64] = {0};
	char	   *key;
	int			key_length = secret_bytes(secret, &key);
	char	   *before = psprintf("%s." INT64_FORMAT ".", id, (int64) time(NULL));
	bool		done;

	done = hmac != NULL &&
		pg_hmac_init(hmac, (const uint8 *) key, key_length) >= 0 &&
		pg_hmac_update(hmac, (const uint8 *) before, strlen(before)) >= 0 &&
		pg_hmac_update(hmac, (const uint8 *) body, length) >= 0 &&
		pg_hmac_final(hmac, digest, sizeof(digest)) >= 0;
	if (hmac != NULL)
		pg_hmac_free(hmac);
	if (!done || compat_b64_encode(digest, sizeof(digest), encoded, sizeof(encoded) - 1) < 0)
		elog(ERROR, "could not compute a signature");
	before[strlen(before) - 1] = '\0';
	add_line(request, psprintf("webhook-id: %s", id));
	add_line(request, psprintf("webhook-timestamp: %s", strrchr(before, '.') + 1));
	add_line(request, psprintf("webhook-signature: v1,%s", encoded));
}

/* ------------------------------------------------------------------------
 * The whole
 * ------------------------------------------------------------------------ */

/* Make the URL: the endpoint's, and the job's path after it; NULL: there is none */
static char *
whole_url(const Job *job, const Endpoint *endpoint)
{
	const char *url = jsonb_read_text(job->args, "url");
	size_t		length;

	if (endpoint == NULL)
		return url != NULL ? delivery_to_utf8(url) : NULL;
	if (url == NULL || url[0] == '\0')
		return delivery_to_utf8(endpoint->url);
	length = strlen(endpoint->url);
	while (url[0] == '/' && length > 0 && endpoint->url[length - 1] == '/')
		length--;
	return delivery_to_utf8(psprintf("%.*s%s", (int) length, endpoint->url, url));
}

/* The lines up to a NULL */
static const char *const *
line_array(List *lines)
{
	const char **array = palloc((list_length(lines) + 1) * sizeof(char *));
	ListCell   *cell;
	int			n = 0;

	foreach(cell, lines)
		array[n++] = lfirst(cell);
	array[n] = NULL;
	return array;
}

bool
http_prepare(const Job *job, const Endpoint *endpoint, TransferRequest *transfer, DeliveryEnd *end)
{
	Request		request = {NIL, endpoint};
	bool		slack = job->kind == JOB_SLACK;
	char	   *key = delivery_key(job);
	char	   *body = NULL;
	const char *type = "application/json";
	int64		length;

	if (slack)
	{
		body = slack_body(job);
		length = strlen(body);
	}
	else
		length = request_body(job, &body, &type);
	transfer->method = slack ? "POST" : jsonb_read_text(job->args, "method");
	transfer->url = whole_url(job, endpoint);
	if (transfer->method == NULL || transfer->url == NULL)
	{
		delivery_refuse(end, ERRCODE_INVALID_PARAMETER_VALUE,
						pstrdup("the job's arguments name no method or no URL"), NULL);
		return false;
	}
	transfer->user_agent = "defer/" DEFER_VERSION;
	transfer->redirects = endpoint != NULL ? 0 : (long) jsonb_read_number(job->args, "redirects", 0);
	transfer->timeout = delivery_timeout(job, HTTP_DEFAULT_TIMEOUT);
	transfer->connect_timeout =
		(long) Max(jsonb_read_number(job->args, "connect_timeout", HTTP_DEFAULT_CONNECT_TIMEOUT) / 1000, 1);
	if (length >= 0)
	{
		transfer->body = body;
		transfer->body_length = (size_t) length;
	}

	if (endpoint != NULL)
		jsonb_read_pairs(endpoint->headers, add_header, &request);
	jsonb_read_pairs(jsonb_read_json(job->args, "headers"), add_job_header, &request);
	if (length >= 0 && !request.has_type)
		add_line(&request, psprintf("Content-Type: %s", type));
	if (!request.has_key)
		add_line(&request, psprintf("Idempotency-Key: %s", key));
	add_line(&request, pstrdup("Expect:"));
	if (endpoint != NULL && endpoint->secret != NULL)
		sign(&request, endpoint->secret, key, length >= 0 ? body : "", Max(length, 0));
	if (endpoint != NULL)
	{
		transfer->username = endpoint->username;
		transfer->password = endpoint->password;
	}
	transfer->headers = line_array(request.lines);
	return true;
}
