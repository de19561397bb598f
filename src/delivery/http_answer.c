/*
 * http_answer.c
 *		Answers to HTTP requests.
 *
 * 2xx is success.  408, 425, 429, 5xx and whatever goes wrong on the network
 * may work later, and a Retry-After of the server is obeyed within bounds; that of
 * 429 holds for all deliveries to the endpoint (delivery/endpoint_pause.c).  Any other
 * answer fails the job at once.
 */
#include "postgres.h"

#include "common/base64.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "pure/http_headers.h"
#include "base/compat.h"
#include "base/errcodes.h"
#include "base/guc_job.h"
#include "base/job.h"
#include "base/job_kind.h"
#include "base/jsonb_util.h"
#include "delivery/dispatch.h"

/* A server may put us off for so long at most (seconds) */
#define RETRY_AFTER_MAX		SECS_PER_HOUR

/* How much of an unwelcome answer goes into the attempt's detail (bytes) */
#define DETAIL_MAX			1000

/* How much of a URL goes into messages (bytes) */
#define URL_SHOWN_MAX		300

/* Check whether these bytes can be kept as text of this database */
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

/*
 * Read the headers that can be kept as text, those of one name beside each other.
 *
 * Not by curl_easy_nextheader(): for each header it compares the names of all of
 * them.  A peer may send many: 16,000 within the bytes that are kept took 2.5 s,
 * 70,000 took a minute, while every other delivery would stand still.
 */
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

/* Add the headers as an object of lower-case names; of several of a name all, with commas */
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
		jsonb_push_text(&object, name, value.data);
	}
	jsonb_push_json(state, "headers", JsonbValueToJsonb(jsonb_push(&object, WJB_END_OBJECT, NULL)));
}

static void
push_body(JsonbBuilder *state, const TransferResult *answer)
{
	size_t		length = answer->body_length;

	if (answer->body_cut && length > 0)
		length = whole_characters(answer->body, length);
	if (length == 0)
		return;
	if (is_text(answer->body, length))
		jsonb_push_bytes(state, "body", answer->body, length);
	else
	{
		int			room = pg_b64_enc_len(answer->body_length) + 1;
		char	   *encoded = palloc(room);
		int			n = compat_b64_encode(answer->body, answer->body_length, encoded, room);

		if (n > 0)
			jsonb_push_bytes(state, "base64", encoded, n);
	}
}

/* Make the result: status, headers, body; without the last two if they are too large to keep */
static Jsonb *
make_result(const TransferResult *answer)
{
	for (int parts = 2;; parts--)
	{
		JsonbBuilder state = {0};
		Jsonb	   *result;

		(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
		jsonb_push_number(&state, "status", answer->status);
		if (parts > 0)
			push_headers(&state, answer->head);
		if (parts > 1)
			push_body(&state, answer);
		if (answer->body_cut || parts < 2)
			jsonb_push_bool(&state, "truncated", true);
		result = JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
		if (parts == 0 || VARSIZE(result) <= (Size) defer_max_payload * 1024)
			return result;
	}
}

static bool
may_work_later(long status)
{
	return status == 408 || status == 425 || status == 429 || status >= 500;
}

/* Name the request for messages; an endpoint's address is not told */
static char *
request_name(const Job *job)
{
	const char *endpoint = jsonb_read_text(job->args, "endpoint");
	const char *method = jsonb_read_text(job->args, "method");
	const char *url;

	if (job->kind == JOB_SLACK)
		return psprintf("message to endpoint \"%s\"", endpoint);
	if (endpoint != NULL)
		return psprintf("%s to endpoint \"%s\"", method, endpoint);
	url = jsonb_read_text(job->args, "url");
	return psprintf("%s %.*s", method, pg_mbcliplen(url, strcspn(url, "?#"), URL_SHOWN_MAX), url);
}

void
http_classify(const Job *job, const TransferResult *answer, DeliveryEnd *end)
{
	if (answer->outcome != TRANSFER_ANSWERED)
	{
		delivery_network_error(job, answer, request_name(job), end);
		return;
	}
	end->result = make_result(answer);
	if (answer->status >= 200 && answer->status < 300)
	{
		end->outcome = DELIVERY_DONE;
		return;
	}
	end->sqlerrcode = ERRCODE_DELIVERY_ANSWER;
	end->message = psprintf("%s: the server answered %ld", request_name(job), answer->status);
	if (answer->body_length > 0)
	{
		size_t		length = whole_characters(answer->body, Min(answer->body_length, DETAIL_MAX));

		if (is_text(answer->body, length))
			end->detail = pnstrdup(answer->body, length);
	}
	if (may_work_later(answer->status))
	{
		end->outcome = DELIVERY_RETRY;
		if (answer->retry_after > 0)
			end->wait = Min(answer->retry_after, RETRY_AFTER_MAX) * USECS_PER_SEC;
		if (answer->status == 429)
			end->pause = Max(end->wait, 0);
		return;
	}
	end->outcome = DELIVERY_REFUSED;
	if (answer->status < 400 && end->detail == NULL)
		end->detail = pstrdup("Redirects are followed only if follow_redirects says so, and not with an endpoint.");
}
