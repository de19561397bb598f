/*
 * common.c
 *		What HTTP, Slack and e-mail have in common, below dispatch.c.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "nodes/pg_list.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/jsonb_util.h"
#include "pure/retry_policy.h"
#include "base/compat.h"
#include "base/job.h"
#include "base/own_sql.h"
#include "config/job_policy.h"
#include "delivery/dispatch.h"

PG_FUNCTION_INFO_V1(defer_endpoint_address);

/* Refused addresses go to the server's log no more often than this (microseconds) */
#define REFUSED_LOG_PAUSE	USECS_PER_SEC

void
delivery_refuse(DeliveryEnd *end, int sqlerrcode, char *message, char *detail)
{
	end->outcome = DELIVERY_REFUSED;
	end->wait = -1;
	end->sqlerrcode = sqlerrcode;
	end->message = message;
	end->detail = detail;
}

bool
delivery_allowed(const char *kind, Oid role)
{
	const Oid	any = InvalidOid;	/* -1: whatever the arguments are */
	Oid			oid = LookupFuncName(list_make2(makeString("defer"), makeString(pstrdup(kind))), -1,
									 &any, true);

	return OidIsValid(oid) && compat_may_execute(oid, role) &&
		compat_may_use_schema(get_func_namespace(oid), role);
}

/* Returns the id of this installation; in a transaction */
static const char *
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

char *
delivery_key(const Job *job)
{
	return psprintf("%s-" INT64_FORMAT, installation_id(), job->id);
}

char *
delivery_to_utf8(const char *text)
{
	return pg_server_to_any(text, strlen(text), PG_UTF8);
}

long
delivery_timeout(const Job *job, int64 otherwise)
{
	JobPolicy	policy;
	int64		timeout = jsonb_read_number(job->args, "timeout", otherwise);

	job_policy(job, &policy);
	if (policy.max_duration > 0)
		timeout = Min(timeout, policy.max_duration);
	return (long) Max(timeout / 1000, 1);
}

/*
 * Tell the administrator which address was refused.  The role is not told: what a
 * name resolves to inside the network is none of its business.
 */
static void
log_refused_address(const Job *job, const char *address)
{
	static TimestampTz last = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (now >= last && now < last + REFUSED_LOG_PAUSE)
		return;
	last = now;
	ereport(LOG,
			(errmsg("delivery of job " INT64_FORMAT " was refused: address %s is neither public nor in \"defer.http_allow\"",
					job->id, address)));
}

void
delivery_network_error(const Job *job, const TransferResult *result, const char *what,
					   DeliveryEnd *end)
{
	if (result->outcome == TRANSFER_ADDRESS_REFUSED)
	{
		log_refused_address(job, result->address);
		delivery_refuse(end, ERRCODE_INSUFFICIENT_PRIVILEGE,
						psprintf("%s: the address of the host is not allowed", what),
						pstrdup("It is not public. The administrator finds it in the server's log, and can allow it with the setting defer.http_allow."));
		return;
	}
	end->outcome = result->outcome == TRANSFER_IMPOSSIBLE ? DELIVERY_REFUSED : DELIVERY_RETRY;
	end->timed_out = result->outcome == TRANSFER_TIMED_OUT;
	end->sqlerrcode = ERRCODE_DELIVERY_NETWORK;
	end->message = psprintf("%s: %s", what, result->error);
}

/*
 * defer.endpoint_address(url): what of it may be shown.  Only scheme and host:
 * the rest of a webhook's URL is its password.
 */
Datum
defer_endpoint_address(PG_FUNCTION_ARGS)
{
	char	   *url = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *host = strstr(url, "://");

	if (host == NULL)
		PG_RETURN_NULL();
	host += 3;
	host[strcspn(host, "/?#")] = '\0';
	PG_RETURN_TEXT_P(cstring_to_text(url));
}
