/*
 * settings_row.c
 *		The rows of the tables that settings are in: see settings_row.h.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "base/args.h"
#include "base/catalog.h"
#include "base/roles.h"
#include "base/table_check.h"
#include "config/settings_row.h"

/* Columns of defer.function */
enum
{
	FN_ID = 1, FN_SIGNATURE, FN_QUEUE, FN_PRIORITY, FN_MAX_ATTEMPTS, FN_INITIAL_INTERVAL,
	FN_MULTIPLIER, FN_MAX_INTERVAL, FN_RANDOMIZATION, FN_MAX_DURATION, FN_DISCARD_AFTER,
	FN_CONCURRENCY, FN_AT_LIMIT, FN_PAUSED, FN_OWNER, FN_MISSING_SINCE, FN_GROUP_BY,
	FN_GROUP_CONCURRENCY, FN_GROUP_OVERRIDES, FN_RATE, FN_RATE_BURST, FN_GROUP_RATE,
	FN_GROUP_RATE_BURST, FN_GROUP_ORDER, FN_ON_GROUP_FAILURE, FN_MAX_QUEUED, FN_GROUP_MAX_QUEUED,
	FN_CAP
};

static const char *const function_columns[] = {
	"id", "signature", "queue", "priority", "max_attempts", "initial_interval",
	"multiplier", "max_interval", "randomization", "max_duration", "discard_after",
	"concurrency", "at_limit", "paused", "owner", "missing_since", "group_by",
	"group_concurrency", "group_overrides", "rate", "rate_burst", "group_rate",
	"group_rate_burst", "group_order", "on_group_failure", "max_queued", "group_max_queued",
	"cap"
};

StaticAssertDecl(lengthof(function_columns) == FN_CAP, "a name for each column");

/* Columns of defer.queue */
enum
{
	QU_ID = 1, QU_NAME, QU_OWNER, QU_GRANTED, QU_PRIORITY, QU_MAX_ATTEMPTS, QU_INITIAL_INTERVAL,
	QU_MULTIPLIER, QU_MAX_INTERVAL, QU_RANDOMIZATION, QU_MAX_DURATION, QU_DISCARD_AFTER,
	QU_CONCURRENCY, QU_PAUSED, QU_GROUP_BY, QU_GROUP_CONCURRENCY, QU_GROUP_OVERRIDES, QU_RATE,
	QU_RATE_BURST, QU_GROUP_RATE, QU_GROUP_RATE_BURST, QU_RESERVED, QU_GROUP_ORDER,
	QU_ON_GROUP_FAILURE, QU_MAX_QUEUED, QU_GROUP_MAX_QUEUED, QU_CAP
};

static const char *const queue_columns[] = {
	"id", "name", "owner", "granted", "priority", "max_attempts", "initial_interval",
	"multiplier", "max_interval", "randomization", "max_duration", "discard_after",
	"concurrency", "paused", "group_by", "group_concurrency", "group_overrides", "rate",
	"rate_burst", "group_rate", "group_rate_burst", "reserved", "group_order",
	"on_group_failure", "max_queued", "group_max_queued", "cap"
};

StaticAssertDecl(lengthof(queue_columns) == QU_CAP, "a name for each column");

/* Columns of defer.endpoint; those with secrets are left alone */
enum
{
	EN_NAME = 1, EN_OWNER, EN_CREATED_AT, EN_ID, EN_CONCURRENCY, EN_RATE
};

static const char *const endpoint_columns[] = {
	"name", "owner", "created_at", "id", "concurrency", "rate"
};

StaticAssertDecl(lengthof(endpoint_columns) == EN_RATE, "a name for each column");

static Datum
column(const SettingsRow *row, AttrNumber number, bool *isnull)
{
	return heap_getattr(row->tuple, number, row->desc, isnull);
}

static int32
int_column(const SettingsRow *row, AttrNumber number, int32 otherwise)
{
	bool		isnull;
	Datum		value = column(row, number, &isnull);

	return isnull ? otherwise : DatumGetInt32(value);
}

static double
double_column(const SettingsRow *row, AttrNumber number)
{
	bool		isnull;
	Datum		value = column(row, number, &isnull);

	return isnull ? -1 : DatumGetFloat8(value);
}

/* Microseconds, -1 for NULL */
static int64
time_column(const SettingsRow *row, AttrNumber number, const char *name)
{
	bool		isnull;
	Datum		value = column(row, number, &isnull);

	return isnull ? -1 : setting_interval(name, DatumGetIntervalP(value));
}

static bool
bool_column(const SettingsRow *row, AttrNumber number)
{
	bool		isnull;
	Datum		value = column(row, number, &isnull);

	return !isnull && DatumGetBool(value);
}

static char *
text_column(const SettingsRow *row, AttrNumber number)
{
	bool		isnull;
	Datum		value = column(row, number, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static char *
rate_column(const SettingsRow *row, AttrNumber number)
{
	char	   *rate = text_column(row, number);

	return rate == NULL || strcmp(rate, "none") == 0 ? NULL : rate;
}

/* Three columns side by side */
static SettingCap
cap_columns(const SettingsRow *row, AttrNumber first)
{
	bool		isnull;
	Datum		number = column(row, first + 2, &isnull);

	return (SettingCap)
	{
		.number = isnull ? 0 : DatumGetInt64(number),
			.max = int_column(row, first, -1),
			.group_max = int_column(row, first + 1, -1)
	};
}

/* Two columns say it: group_order, and on_group_failure behind it */
static GroupOrder
order_columns(const SettingsRow *row, AttrNumber first)
{
	char	   *order = text_column(row, first);
	char	   *failure = text_column(row, first + 1);

	if (order == NULL || strcmp(order, "strict") != 0)
		return GROUP_ORDER_NONE;
	return failure != NULL && strcmp(failure, "hold") == 0 ? GROUP_ORDER_HOLD : GROUP_ORDER_SKIP;
}

/* The policy's columns stand side by side in both tables, from max_attempts on */
static void
read_policy(const SettingsRow *row, AttrNumber first, JobPolicy *policy)
{
	policy->max_attempts = int_column(row, first, -1);
	policy->initial_interval = time_column(row, first + 1, "initial_interval");
	policy->multiplier = double_column(row, first + 2);
	policy->max_interval = time_column(row, first + 3, "max_interval");
	policy->randomization = double_column(row, first + 4);
	policy->max_duration = time_column(row, first + 5, "max_duration");
}

void
settings_read_function(const SettingsRow *row, FunctionSettings *settings)
{
	bool		isnull;
	char	   *at_limit = text_column(row, FN_AT_LIMIT);

	settings->found = true;
	settings->id = int_column(row, FN_ID, 0);
	settings->owner = DatumGetObjectId(column(row, FN_OWNER, &isnull));
	settings->concurrency = int_column(row, FN_CONCURRENCY, -1);
	settings->group_concurrency = int_column(row, FN_GROUP_CONCURRENCY, -1);
	settings->group_overrides = bool_column(row, FN_GROUP_OVERRIDES);
	settings->rate = rate_column(row, FN_RATE);
	settings->group_rate = rate_column(row, FN_GROUP_RATE);
	settings->group_order = order_columns(row, FN_GROUP_ORDER);
	settings->cap = cap_columns(row, FN_MAX_QUEUED);
	settings->cancel_at_limit = at_limit != NULL && strcmp(at_limit, "cancel") == 0;
	settings->paused = bool_column(row, FN_PAUSED);
	settings->priority = int_column(row, FN_PRIORITY, 0);
	(void) column(row, FN_PRIORITY, &isnull);
	settings->has_priority = !isnull;
	settings->queue = text_column(row, FN_QUEUE);
	settings->group_by = text_column(row, FN_GROUP_BY);
	settings->discard_after = time_column(row, FN_DISCARD_AFTER, "discard_after");
	read_policy(row, FN_MAX_ATTEMPTS, &settings->policy);
}

void
settings_read_queue(const SettingsRow *row, QueueSettings *settings)
{
	bool		isnull;
	Datum		granted;

	settings->found = true;
	settings->id = int_column(row, QU_ID, 0);
	settings->owner = DatumGetObjectId(column(row, QU_OWNER, &isnull));
	granted = column(row, QU_GRANTED, &isnull);
	if (!isnull)
		settings->granted = roles_of_array(granted, &settings->ngranted);
	settings->concurrency = int_column(row, QU_CONCURRENCY, -1);
	settings->group_concurrency = int_column(row, QU_GROUP_CONCURRENCY, -1);
	settings->group_overrides = bool_column(row, QU_GROUP_OVERRIDES);
	settings->rate = rate_column(row, QU_RATE);
	settings->group_rate = rate_column(row, QU_GROUP_RATE);
	settings->group_order = order_columns(row, QU_GROUP_ORDER);
	settings->cap = cap_columns(row, QU_MAX_QUEUED);
	settings->reserved = int_column(row, QU_RESERVED, 0);
	settings->paused = bool_column(row, QU_PAUSED);
	settings->priority = int_column(row, QU_PRIORITY, 0);
	(void) column(row, QU_PRIORITY, &isnull);
	settings->has_priority = !isnull;
	settings->discard_after = time_column(row, QU_DISCARD_AFTER, "discard_after");
	settings->group_by = text_column(row, QU_GROUP_BY);
	read_policy(row, QU_MAX_ATTEMPTS, &settings->policy);
}

void
settings_read_endpoint(const SettingsRow *row, EndpointSettings *settings)
{
	bool		isnull;

	settings->id = int_column(row, EN_ID, 0);
	settings->owner = DatumGetObjectId(column(row, EN_OWNER, &isnull));
	settings->created_at = DatumGetTimestampTz(column(row, EN_CREATED_AT, &isnull));
	settings->concurrency = int_column(row, EN_CONCURRENCY, -1);
	settings->rate = rate_column(row, EN_RATE);
}

Relation
settings_open(char kind, AttrNumber *name)
{
	Relation	rel = table_open(catalog_oid(kind == 'f' ? CAT_FUNCTION : kind == 'q' ? CAT_QUEUE :
											 CAT_ENDPOINT), AccessShareLock);

	*name = kind == 'f' ? FN_SIGNATURE : kind == 'q' ? QU_NAME : EN_NAME;
	if (kind == 'f')
		table_check_columns(rel, function_columns, lengthof(function_columns));
	else if (kind == 'q')
		table_check_columns(rel, queue_columns, lengthof(queue_columns));
	else
		table_check_columns(rel, endpoint_columns, lengthof(endpoint_columns));
	return rel;
}
