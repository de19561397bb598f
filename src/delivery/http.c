/*
 * http.c
 *		HTTP requests, and messages to Slack, which are one.
 *
 * 2xx is success.  408, 425, 429, 5xx and whatever goes wrong on the network
 * may work later, and a Retry-After of the server is obeyed within bounds.  Any
 * other answer fails the job at once.
 *
 * A request with an endpoint goes to the endpoint's URL, or to a path after it,
 * and nowhere else: credentials never follow a redirect.
 */
#include "postgres.h"

#include <time.h>

#include "common/base64.h"
#include "common/cryptohash.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/jsonb.h"

#include "base/compat.h"
#include "base/guc_job.h"
#include "base/job_kind.h"
#include "delivery/delivery.h"
#include "delivery/transfer.h"
#include "pure/http_headers.h"
#include "pure/retry_after.h"

/* A server may put us off for so long at most (seconds) */
#define RETRY_AFTER_MAX		SECS_PER_HOUR

/* How much of an unwelcome answer goes into the attempt's detail (bytes) */
#define DETAIL_MAX			1000

/* How much of a URL goes into messages (bytes) */
#define URL_SHOWN_MAX		300

/* ------------------------------------------------------------------------
 * The request
 * ------------------------------------------------------------------------ */

/* What is being put together; "bad" once memory ran out */
typedef struct Request
{
	Transfer   *transfer;
	const Jsonb *headers;		/* of the job */
	bool		bad;
	bool		has_type;
	bool		has_key;
} Request;

static void
add_line(Request *request, const char *line)
{
	if (!transfer_header(request->transfer, line))
		request->bad = true;
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

/* Those of the endpoint win: the job cannot unset credentials */
static void
add_job_header(const char *name, const char *value, void *context)
{
	Request    *request = context;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	found;

	if (request->headers != NULL)
	{
		iterator = JsonbIteratorInit(unconstify(JsonbContainer *, &request->headers->root));
		while ((token = JsonbIteratorNext(&iterator, &found, true)) != WJB_DONE)
		{
			if (token == WJB_KEY && found.val.string.len == strlen(name) &&
				pg_strncasecmp(found.val.string.val, name, found.val.string.len) == 0)
				return;
		}
	}
	add_header(name, value, context);
}

/* A copy that lives as long as the transfer; false: no memory */
static bool
set_body(Transfer *transfer, const char *bytes, size_t length)
{
	transfer->request_body = malloc(length + 1);
	if (transfer->request_body == NULL)
		return false;
	memcpy(transfer->request_body, bytes, length);
	transfer->request_body[length] = '\0';
	curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) length);
	curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, transfer->request_body);
	return true;
}

/* The body by the job's arguments; returns its length, -1: there is none */
static int64
request_body(const Job *job, char **body, const char **type)
{
	const char *text = delivery_text(job->args, "body");
	const char *base64 = delivery_text(job->args, "base64");

	if (text != NULL)
	{
		*type = delivery_text(job->args, "type");
		if (*type == NULL)
			*type = "text/plain; charset=utf-8";
		*body = to_utf8(text);
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

/*
 * The secret as bytes: "whsec_" and base64 as Standard Webhooks has it, or as
 * it stands.
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

/* HMAC-SHA256 over id, time and body, in the form of Standard Webhooks */
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

static void
set_method(Transfer *transfer, const char *method, bool has_body)
{
	if (strcmp(method, "HEAD") == 0)
		curl_easy_setopt(transfer->easy, CURLOPT_NOBODY, 1L);
	else if (strcmp(method, "GET") == 0 && !has_body)
		curl_easy_setopt(transfer->easy, CURLOPT_HTTPGET, 1L);
	else if (strcmp(method, "POST") == 0)
	{
		curl_easy_setopt(transfer->easy, CURLOPT_POST, 1L);
		if (!has_body)
			curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE, 0L);
	}
	else
		curl_easy_setopt(transfer->easy, CURLOPT_CUSTOMREQUEST, method);
}

/* The endpoint's URL and the job's path after it */
static char *
whole_url(const Job *job, const Endpoint *endpoint)
{
	const char *url = delivery_text(job->args, "url");
	size_t		length;

	if (endpoint == NULL)
		return url != NULL ? to_utf8(url) : NULL;
	if (url == NULL || url[0] == '\0')
		return to_utf8(endpoint->url);
	length = strlen(endpoint->url);
	while (url[0] == '/' && length > 0 && endpoint->url[length - 1] == '/')
		length--;
	return to_utf8(psprintf("%.*s%s", (int) length, endpoint->url, url));
}

static void
set_options(const Job *job, Transfer *transfer, bool secret)
{
	CURL	   *easy = transfer->easy;
	int64		redirects = secret ? 0 : delivery_number(job->args, "redirects", 0);
	int64		connect = delivery_number(job->args, "connect_timeout", HTTP_DEFAULT_CONNECT_TIMEOUT);

#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long) (CURLPROTO_HTTP | CURLPROTO_HTTPS));
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS, (long) (CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
	/* no CURLOPT_PIPEWAIT: all would wait for the first answer of a host that hangs */
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "defer/" DEFER_VERSION);
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, redirects > 0 ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long) redirects);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) delivery_timeout(job, HTTP_DEFAULT_TIMEOUT));
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) Max(connect / 1000, 1));
}

/* What Slack wants to have */
static char *
slack_body(const Job *job)
{
	JsonbBuilder state = {0};
	const char *text = delivery_text(job->args, "text");
	Jsonb	   *blocks = delivery_json(job->args, "blocks");
	Jsonb	   *message;

	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, "text", text != NULL ? text : "");
	if (blocks != NULL)
		push_json(&state, "blocks", blocks);
	message = JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
	return to_utf8(JsonbToCString(NULL, &message->root, VARSIZE(message)));
}

bool
http_prepare(const Job *job, const Endpoint *endpoint, Transfer *transfer, DeliveryEnd *end)
{
	Request		request = {transfer, endpoint != NULL ? endpoint->headers : NULL};
	bool		slack = job->kind == JOB_SLACK;
	const char *method = slack ? "POST" : delivery_text(job->args, "method");
	char	   *url = whole_url(job, endpoint);
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
	if (method == NULL || url == NULL)
	{
		delivery_refuse(end, ERRCODE_INVALID_PARAMETER_VALUE,
						pstrdup("the job's arguments name no method or no URL"), NULL);
		return false;
	}

	set_options(job, transfer, endpoint != NULL);
	curl_easy_setopt(transfer->easy, CURLOPT_URL, url);
	if (endpoint != NULL)
		delivery_pairs(endpoint->headers, add_header, &request);
	delivery_pairs(delivery_json(job->args, "headers"), add_job_header, &request);
	if (length >= 0)
	{
		if (!set_body(transfer, body, length))
			request.bad = true;
		if (!request.has_type)
			add_line(&request, psprintf("Content-Type: %s", type));
	}
	set_method(transfer, method, length >= 0);
	if (!request.has_key)
		add_line(&request, psprintf("Idempotency-Key: %s", key));
	add_line(&request, "Expect:");
	if (endpoint != NULL && endpoint->secret != NULL)
		sign(&request, endpoint->secret, key, length >= 0 ? body : "", Max(length, 0));
	if (endpoint != NULL && endpoint->username != NULL)
	{
		curl_easy_setopt(transfer->easy, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
		curl_easy_setopt(transfer->easy, CURLOPT_USERNAME, endpoint->username);
		curl_easy_setopt(transfer->easy, CURLOPT_PASSWORD,
						 endpoint->password != NULL ? endpoint->password : "");
	}
	if (request.bad)
	{
		end->outcome = DELIVERY_PUT_OFF;
		end->wait = USECS_PER_SEC;
		return false;
	}
	return true;
}

/* ------------------------------------------------------------------------
 * The answer
 * ------------------------------------------------------------------------ */

/* Can these bytes be kept as text of this database? */
static bool
is_text(const char *bytes, size_t length)
{
	bool		ascii = true;

	if (memchr(bytes, '\0', length) != NULL)
		return false;
	for (size_t i = 0; i < length && ascii; i++)
		ascii = (unsigned char) bytes[i] < 0x80;
	return ascii || (GetDatabaseEncoding() == PG_UTF8 &&
					 pg_verify_mbstr(PG_UTF8, bytes, length, true));
}

/* Of a text cut off somewhere: without the half of a character at its end */
static size_t
whole_characters(const char *bytes, size_t length)
{
	size_t		end = length;

	for (int i = 0; i < 3 && end > 0 && ((unsigned char) bytes[end - 1] & 0xc0) == 0x80; i++)
		end--;
	if (end > 0 && ((unsigned char) bytes[end - 1] & 0x80) != 0)
	{
		unsigned char lead = bytes[end - 1];
		size_t		need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;

		return length - (end - 1) >= need ? length : end - 1;
	}
	return length;
}

static int
compare_headers(const void *a, const void *b)
{
	const HttpHeader *x = a;
	const HttpHeader *y = b;
	int			order = pg_strncasecmp(x->name, y->name, Min(x->name_length, y->name_length));

	if (order == 0)
		order = (x->name_length > y->name_length) - (x->name_length < y->name_length);
	/* of one name, as they came */
	return order != 0 ? order : (x->name > y->name) - (x->name < y->name);
}

/* Those of an answer that can be kept as text, those of one name beside each other */
static HttpHeader *
read_headers(const char *head, int *n)
{
	int			room = 64;
	HttpHeader *headers = palloc(room * sizeof(HttpHeader));

	*n = 0;
	while (head != NULL && http_next_header(&head, &headers[*n]))
	{
		/* a name is ASCII */
		if (!is_text(headers[*n].value, headers[*n].value_length))
			continue;
		if (++*n == room)
		{
			room *= 2;
			headers = repalloc(headers, room * sizeof(HttpHeader));
		}
	}
	qsort(headers, *n, sizeof(HttpHeader), compare_headers);
	return headers;
}

/*
 * The headers as an object of lower-case names; of several of a name all, with
 * commas.  A server may send thousands of them: none is looked at or copied more
 * often than it must be.
 */
static void
push_headers(JsonbBuilder *state, const char *head)
{
	JsonbBuilder object = {0};
	int			n;
	HttpHeader *headers = read_headers(head, &n);

	(void) jsonb_push(&object, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < n;)
	{
		char	   *name = asc_tolower(headers[i].name, headers[i].name_length);
		int			first = i;
		StringInfoData value;

		initStringInfo(&value);
		do
		{
			if (i > first)
				appendStringInfoString(&value, ", ");
			appendBinaryStringInfo(&value, headers[i].value, (int) headers[i].value_length);
			i++;
		} while (i < n && http_header_is(&headers[i], name));
		push_text(&object, name, value.data);
	}
	push_json(state, "headers", JsonbValueToJsonb(jsonb_push(&object, WJB_END_OBJECT, NULL)));
}

static void
push_body(JsonbBuilder *state, const TransferBuffer *body)
{
	size_t		length = body->length;

	if (body->overflow && length > 0)
		length = whole_characters(body->data, length);
	if (length == 0)
		return;
	if (is_text(body->data, length))
		push_bytes(state, "body", body->data, length);
	else
	{
		int			room = pg_b64_enc_len(body->length) + 1;
		char	   *encoded = palloc(room);
		int			n = compat_b64_encode(body->data, body->length, encoded, room);

		if (n > 0)
			push_bytes(state, "base64", encoded, n);
	}
}

/* Status, headers, body; without the last two if they are too large to keep */
static Jsonb *
answer(const Transfer *transfer, long status)
{
	for (int parts = 2;; parts--)
	{
		JsonbBuilder state = {0};
		Jsonb	   *result;

		(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
		push_number(&state, "status", status);
		if (parts > 0)
			push_headers(&state, transfer->head.data);
		if (parts > 1)
			push_body(&state, &transfer->body);
		if (transfer->body.overflow || parts < 2)
			push_bool(&state, "truncated", true);
		result = JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
		if (parts == 0 || VARSIZE(result) <= (Size) defer_max_payload * 1024)
			return result;
	}
}

/* The value of Retry-After; NULL: there is none */
static char *
retry_after_header(const char *head)
{
	HttpHeader	header;

	while (head != NULL && http_next_header(&head, &header))
	{
		if (http_header_is(&header, "retry-after"))
			return pnstrdup(header.value, header.value_length);
	}
	return NULL;
}

static bool
may_work_later(long status)
{
	return status == 408 || status == 425 || status == 429 || status >= 500;
}

/* What the request is called in messages: an endpoint's address is not told */
static char *
what(const Job *job)
{
	const char *endpoint = delivery_text(job->args, "endpoint");
	const char *method = delivery_text(job->args, "method");
	const char *url;

	if (job->kind == JOB_SLACK)
		return psprintf("message to endpoint \"%s\"", endpoint);
	if (endpoint != NULL)
		return psprintf("%s to endpoint \"%s\"", method, endpoint);
	url = delivery_text(job->args, "url");
	return psprintf("%s %.*s", method, pg_mbcliplen(url, strcspn(url, "?#"), URL_SHOWN_MAX), url);
}

void
http_judge(const Job *job, const Endpoint *endpoint, Transfer *transfer, int code, DeliveryEnd *end)
{
	long		status = 0;
	bool		cut = code == CURLE_WRITE_ERROR && transfer->body.overflow;

	(void) curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	if ((code != CURLE_OK && !cut) || status == 0)
	{
		delivery_network_error(transfer, code, what(job), end);
		return;
	}
	end->result = answer(transfer, status);
	if (status >= 200 && status < 300)
	{
		end->outcome = DELIVERY_DONE;
		return;
	}
	end->sqlerrcode = ERRCODE_DELIVERY_ANSWER;
	end->message = psprintf("%s: the server answered %ld", what(job), status);
	if (transfer->body.length > 0)
	{
		size_t		length = whole_characters(transfer->body.data,
											  Min(transfer->body.length, DETAIL_MAX));

		if (is_text(transfer->body.data, length))
			end->detail = pnstrdup(transfer->body.data, length);
	}
	if (may_work_later(status))
	{
		char	   *header = retry_after_header(transfer->head.data);
		int64		seconds = header == NULL ? -1 :
			retry_after_seconds(header, (int64) time(NULL), RETRY_AFTER_MAX);

		end->outcome = DELIVERY_RETRY;
		if (seconds > 0)
			end->wait = seconds * USECS_PER_SEC;
	}
	else
	{
		end->outcome = DELIVERY_REFUSED;
		if (status >= 300 && status < 400 && end->detail == NULL)
			end->detail = pstrdup("Redirects are followed only if follow_redirects says so, and not with an endpoint.");
	}
}
