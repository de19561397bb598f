/*
 * dispatch.c
 *		From a job to the request to be sent, and from its outcome to the job's
 *		end.
 *
 * All that was checked when the job was enqueued is checked again here: the
 * owner may still use the function and the endpoint, and the endpoint still
 * belongs to the role that it belonged to.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/guc_job.h"
#include "base/job.h"
#include "base/job_kind.h"
#include "base/jsonb_util.h"
#include "base/role_check.h"
#include "delivery/dispatch.h"

/* How long a job waits whose owner may not log in now (microseconds) */
#define OWNER_WAIT	(10 * USECS_PER_SEC)

/* ------------------------------------------------------------------------
 * Before
 * ------------------------------------------------------------------------ */

/*
 * Check whether the owner may send now.  If not, "end" says what becomes of
 * the job
 */
static bool
owner_may_send(const Job *job, const char *function, DeliveryEnd *end)
{
	OwnerState	state = role_check_state(job->owner);
	const char *sqlstate = NULL;

	if (state == OWNER_GONE || state == OWNER_SUPERUSER)
	{
		char	   *why = role_check_failure(job->owner, state, &sqlstate);

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
						psprintf("Role \"%s\" does not have EXECUTE on it any longer.",
								 GetUserNameFromId(job->owner, false)));
		return false;
	}
	return true;
}

/* Read the endpoint that the job names; NULL, and an outcome: it cannot be used */
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
	else if (!endpoint_is_meant(endpoint, job->args, job->owner))
		delivery_refuse(end, ERRCODE_INSUFFICIENT_PRIVILEGE,
						psprintf("endpoint \"%s\" belongs to another role now", name),
						pstrdup("It was dropped and made again, by another role, after the job was enqueued."));
	else
		return endpoint;
	return NULL;
}

static const char *
kind_name(char kind)
{
	return kind == JOB_HTTP ? "http" : kind == JOB_EMAIL ? "email" : "slack";
}

/* Bytes of the answer's body that are kept */
static size_t
kept_length(const Job *job)
{
	int64		wanted = jsonb_read_number(job->args, "max_response", HTTP_DEFAULT_MAX_RESPONSE);
	int64		most = (int64) defer_max_payload * 1024;

	/* as base64 it is a third longer, and there are the headers */
	return (size_t) Max(Min(wanted, most / 4 * 3 - most / 8), 0);
}

bool
delivery_prepare(const Job *job, Endpoint **used, TransferRequest *request, DeliveryEnd *end)
{
	const char *kind = kind_name(job->kind);
	const char *name = jsonb_read_text(job->args, "endpoint");
	Endpoint   *endpoint = NULL;

	memset(request, 0, sizeof(TransferRequest));
	memset(end, 0, sizeof(DeliveryEnd));
	end->wait = -1;
	*used = NULL;
	if (!owner_may_send(job, kind, end))
		return false;
	if (name != NULL && (endpoint = read_endpoint(job, name, kind, end)) == NULL)
		return false;
	if (name == NULL && job->kind == JOB_SLACK)
	{
		delivery_refuse(end, ERRCODE_INVALID_PARAMETER_VALUE, pstrdup("the job names no endpoint"),
						NULL);
		return false;
	}
	if (endpoint != NULL && endpoint_paused(endpoint) > 0)
	{
		end->outcome = DELIVERY_PUT_OFF;
		end->wait = endpoint_paused(endpoint);
		return false;
	}
	request->body_limit = kept_length(job) + mask_length(endpoint);
	*used = endpoint;
	return job->kind == JOB_EMAIL ? mail_prepare(job, endpoint, request, end) :
		http_prepare(job, endpoint, request, end);
}

/* ------------------------------------------------------------------------
 * After
 * ------------------------------------------------------------------------ */

void
delivery_classify(const Job *job, const Endpoint *endpoint, TransferResult *result,
				  DeliveryEnd *end)
{
	const size_t kept = kept_length(job);

	memset(end, 0, sizeof(DeliveryEnd));
	end->wait = -1;
	mask_secrets(endpoint, result->head, result->head_length);
	mask_secrets(endpoint, result->body, result->body_length);
	mask_secrets(endpoint, result->error, strlen(result->error));
	if (result->body_length > kept)
	{
		result->body_length = kept;
		result->body[kept] = '\0';
		result->body_cut = true;
	}
	if (job->kind == JOB_EMAIL)
		mail_classify(job, result, end);
	else
		http_classify(job, result, end);
}
