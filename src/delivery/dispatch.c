/*
 * dispatch.c
 *		From a job to a transfer, and from what came of it to the job's end: what
 *		HTTP, Slack and e-mail have in common.
 *
 * All that was checked when the job was enqueued is checked again here: the
 * owner may still use the function and the endpoint.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "common/base64.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/guc_job.h"
#include "base/job_kind.h"
#include "base/own_sql.h"
#include "base/role_check.h"
#include "config/settings_cache.h"
#include "delivery/delivery.h"
#include "delivery/transfer.h"
#include "pure/backoff.h"

/* How long a job waits whose owner may not log in now (microseconds) */
#define OWNER_WAIT	(10 * USECS_PER_SEC)

/* Secrets shorter than this are not looked for in answers */
#define SECRET_MIN	6

void
delivery_refuse(DeliveryEnd *end, int sqlerrcode, char *message, char *detail)
{
	end->outcome = DELIVERY_REFUSED;
	end->wait = -1;
	end->sqlerrcode = sqlerrcode;
	end->message = message;
	end->detail = detail;
}

/* ------------------------------------------------------------------------
 * Who we are
 * ------------------------------------------------------------------------ */

const char *
installation_id(void)
{
	static char id[64];
	OwnSql		own;

	if (id[0] != '\0')
		return id;
	own_sql_begin(&own);
	SPI_connect();
	if (own_sql_run("SELECT i.id::pg_catalog.text FROM defer.installation i",
					0, NULL, NULL, NULL, SPI_OK_SELECT) == 1)
		strlcpy(id, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1), sizeof(id));
	SPI_finish();
	own_sql_end(&own);
	if (id[0] == '\0')
		elog(ERROR, "defer.installation is empty");
	return id;
}

/* The same for each attempt at the job, and of no other job anywhere */
char *
delivery_key(const Job *job)
{
	return psprintf("%s-" INT64_FORMAT, installation_id(), job->id);
}

char *
to_utf8(const char *text)
{
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

int64
delivery_timeout(const Job *job, int64 otherwise)
{
	JobPolicy	policy;
	int64		timeout = delivery_number(job->args, "timeout", otherwise);

	job_policy(job, &policy);
	if (policy.max_duration > 0)
		timeout = Min(timeout, policy.max_duration);
	return Max(timeout / 1000, 1);
}

/* ------------------------------------------------------------------------
 * Before
 * ------------------------------------------------------------------------ */

/* "http", "email" or "slack": may the role send that? */
bool
delivery_allowed(const char *kind, Oid role)
{
	Oid			oid = LookupFuncName(list_make2(makeString("defer"), makeString(pstrdup(kind))), -1,
									 NULL, true);

	return OidIsValid(oid) && compat_may_execute(oid, role) &&
		compat_may_use_schema(get_func_namespace(oid), role);
}

/* May the owner send that now?  If not "end" says what is to become of it */
static bool
owner_may_send(const Job *job, const char *function, DeliveryEnd *end)
{
	OwnerState	state = owner_state(job->owner);
	const char *sqlstate = NULL;

	if (state == OWNER_GONE || state == OWNER_SUPERUSER)
	{
		char	   *why = owner_failure(job->owner, state, &sqlstate);

		delivery_refuse(end, state == OWNER_GONE ? ERRCODE_UNDEFINED_OBJECT :
						ERRCODE_INSUFFICIENT_PRIVILEGE, why, NULL);
		return false;
	}
	if (state != OWNER_OK)
	{
		end->outcome = DELIVERY_PUT_OFF;
		end->wait = OWNER_WAIT;
		return false;
	}
	if (!delivery_allowed(function, job->owner))
	{
		delivery_refuse(end, ERRCODE_INSUFFICIENT_PRIVILEGE,
						psprintf("permission denied for function defer.%s", function),
						psprintf("Role \"%s\" may not execute it (any more).",
								 GetUserNameFromId(job->owner, false)));
		return false;
	}
	return true;
}

/* The endpoint that the job names; NULL, and an outcome: it cannot be used */
static Endpoint *
read_endpoint(const Job *job, const char *name, const char *kind, DeliveryEnd *end)
{
	Endpoint   *endpoint = endpoint_read(name);

	if (endpoint == NULL)
		delivery_refuse(end, ERRCODE_UNDEFINED_OBJECT,
						psprintf("endpoint \"%s\" does not exist", name), NULL);
	else if (strcmp(endpoint->kind, kind) != 0)
		delivery_refuse(end, ERRCODE_WRONG_OBJECT_TYPE,
						psprintf("endpoint \"%s\" is of kind %s, not %s", name, endpoint->kind, kind),
						NULL);
	else if (!endpoint_usable_by(endpoint, job->owner))
		delivery_refuse(end, ERRCODE_INSUFFICIENT_PRIVILEGE,
						psprintf("permission denied for endpoint \"%s\"", name), NULL);
	else
		return endpoint;
	return NULL;
}

static const char *
kind_name(char kind)
{
	return kind == JOB_HTTP ? "http" : kind == JOB_EMAIL ? "email" : "slack";
}

static Size
body_limit(const Job *job)
{
	int64		wanted = delivery_number(job->args, "max_response", HTTP_DEFAULT_MAX_RESPONSE);
	int64		most = (int64) defer_max_payload * 1024;

	/* as base64 it is a third longer, and there are the headers */
	return (Size) Max(Min(wanted, most / 4 * 3 - most / 8), 0);
}

Transfer *
delivery_prepare(const Job *job, Endpoint **used, DeliveryEnd *end)
{
	const char *kind = kind_name(job->kind);
	const char *name = delivery_text(job->args, "endpoint");
	Endpoint   *endpoint = NULL;
	Transfer   *transfer;
	bool		ready;

	memset(end, 0, sizeof(DeliveryEnd));
	end->wait = -1;
	*used = NULL;
	if (!owner_may_send(job, kind, end))
		return NULL;
	if (name != NULL && (endpoint = read_endpoint(job, name, kind, end)) == NULL)
		return NULL;
	if (name == NULL && job->kind == JOB_SLACK)
	{
		delivery_refuse(end, ERRCODE_INVALID_PARAMETER_VALUE, pstrdup("the job names no endpoint"),
						NULL);
		return NULL;
	}
	transfer = transfer_new(body_limit(job));
	if (transfer == NULL)
	{
		end->outcome = DELIVERY_PUT_OFF;
		end->wait = USECS_PER_SEC;
		return NULL;
	}
	PG_TRY();
	{
		ready = job->kind == JOB_EMAIL ? mail_prepare(job, endpoint, transfer, end) :
			http_prepare(job, endpoint, transfer, end);
	}
	PG_CATCH();
	{
		transfer_free(transfer);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (!ready)
	{
		transfer_free(transfer);
		return NULL;
	}
	*used = endpoint;
	return transfer;
}

/* ------------------------------------------------------------------------
 * After
 * ------------------------------------------------------------------------ */

static void
mask(const char *secret, char *data, size_t length)
{
	size_t		n = secret != NULL ? strlen(secret) : 0;
	char	   *at = data;

	if (n < SECRET_MIN || length < n)
		return;
	while ((at = memmem(at, data + length - at, secret, n)) != NULL)
	{
		memset(at, '*', n);
		at += n;
	}
}

typedef struct Masking
{
	char	   *data;
	size_t		length;
} Masking;

static void
mask_header(const char *name, const char *value, void *context)
{
	Masking    *masking = context;
	const char *word = strrchr(value, ' ');

	mask(value, masking->data, masking->length);
	if (word != NULL)
		mask(word + 1, masking->data, masking->length); /* "Bearer ..." */
}

/* A peer may send back what it was sent: credentials must not end in a result */
void
mask_secrets(const Endpoint *endpoint, char *data, size_t length)
{
	Masking		masking = {data, length};
	char	   *path;

	if (endpoint == NULL || data == NULL || length == 0)
		return;
	mask(endpoint->password, data, length);
	mask(endpoint->secret, data, length);
	delivery_pairs(endpoint->headers, mask_header, &masking);
	if (endpoint->username != NULL && endpoint->password != NULL)
	{
		char	   *pair = psprintf("%s:%s", endpoint->username, endpoint->password);
		int			room = pg_b64_enc_len(strlen(pair)) + 1;
		char	   *encoded = palloc0(room);

		if (compat_b64_encode(pair, strlen(pair), encoded, room - 1) >= 0)
			mask(encoded, data, length);
	}
	path = strstr(endpoint->url, "://");
	if (path != NULL && (path = strchr(path + 3, '/')) != NULL)
		mask(path, data, length);
	/* and the values of its query, by themselves */
	if (path != NULL && (path = strchr(path, '?')) != NULL)
	{
		char	   *rest = pstrdup(path + 1);
		char	   *pair;

		while ((pair = strsep(&rest, "&")) != NULL)
		{
			char	   *value = strchr(pair, '=');

			mask(value != NULL ? value + 1 : pair, data, length);
		}
	}
}

/* No answer at all, or not a whole one */
void
delivery_network_error(Transfer *transfer, int code, const char *what, DeliveryEnd *end)
{
	const char *problem = transfer->error[0] != '\0' ? transfer->error :
		curl_easy_strerror((CURLcode) code);
	long		status = 0;

	(void) curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	end->sqlerrcode = ERRCODE_DELIVERY_NETWORK;
	if (transfer->refused)
	{
		delivery_refuse(end, ERRCODE_INSUFFICIENT_PRIVILEGE,
						psprintf("%s: address %s is not public", what, transfer->refused_address),
						pstrdup("The administrator can allow it with the setting defer.http_allow."));
		return;
	}
	end->message = psprintf("%s: %s", what, problem);
	switch (code)
	{
		case CURLE_UNSUPPORTED_PROTOCOL:
			/* a redirect to another scheme; without an answer: one that is not HTTP */
			end->outcome = status == 0 ? DELIVERY_RETRY : DELIVERY_REFUSED;
			break;
		case CURLE_URL_MALFORMAT:
		case CURLE_TOO_MANY_REDIRECTS:
			end->outcome = DELIVERY_REFUSED;
			break;
		case CURLE_OPERATION_TIMEDOUT:
			end->outcome = DELIVERY_RETRY;
			end->timed_out = true;
			break;
		default:
			end->outcome = DELIVERY_RETRY;
			break;
	}
}

void
delivery_judge(const Job *job, const Endpoint *endpoint, Transfer *transfer, int code, DeliveryEnd *end)
{
	memset(end, 0, sizeof(DeliveryEnd));
	end->wait = -1;
	if (endpoint != NULL)
	{
		mask_secrets(endpoint, transfer->head.data, transfer->head.length);
		mask_secrets(endpoint, transfer->body.data, transfer->body.length);
		mask_secrets(endpoint, transfer->error, strlen(transfer->error));
	}
	if (job->kind == JOB_EMAIL)
		mail_judge(job, transfer, code, end);
	else
		http_judge(job, endpoint, transfer, code, end);
}
