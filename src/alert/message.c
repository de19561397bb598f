/*
 * message.c
 *		The messages of alerts: their words, and their forms for Slack, e-mail and HTTP.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/job_kind.h"
#include "base/job_state.h"
#include "base/jsonb_util.h"
#include "config/job_caps.h"
#include "config/settings_cache.h"
#include "delivery/delivery.h"
#include "delivery/endpoint.h"
#include "alert/alert.h"
#include "table/alert_event.h"
#include "alert/rule.h"

char *
alert_clipped(char *text, int limit)
{
	int			length;

	if (text == NULL || strlen(text) <= limit)
		return text;
	length = pg_mbcliplen(text, strlen(text), limit);
	return psprintf("%.*s...", length, text);
}

/* ------------------------------------------------------------------------
 * Words
 * ------------------------------------------------------------------------ */

static const char *
kind_words(char kind)
{
	switch (kind)
	{
		case STATE_SUCCEEDED:
			return "succeeded";
		case STATE_FAILED:
			return "failed";
		case STATE_CANCELLED:
			return "was cancelled";
		case STATE_DISCARDED:
			return "was discarded";
		case EVENT_SKIPPED:
			return "did not run on schedule";
		case EVENT_RETRIED:
			return "is being retried";
		case EVENT_WAITS:
			return "waits in a step for long";
		default:
			return "";
	}
}

static const char *
kind_words_many(char kind)
{
	return kind == STATE_CANCELLED ? "were cancelled" :
		kind == STATE_DISCARDED ? "were discarded" :
		kind == EVENT_RETRIED ? "are being retried" :
		kind == EVENT_WAITS ? "wait in a step for long" : kind_words(kind);
}

static const char *
kind_name(char kind)
{
	switch (kind)
	{
		case EVENT_SKIPPED:
			return "skipped";
		case EVENT_RETRIED:
			return "retried";
		case EVENT_WAITS:
			return "waiting";
		case EVENT_BACKLOG:
			return "backlog";
		case EVENT_WORKERS:
			return "workers";
		case EVENT_RECOVERED:
			return "recovered";
		case STATE_CANCELLED:
			return "cancelled";
		case STATE_DISCARDED:
			return "discarded";
		default:
			return kind_words(kind);
	}
}

static bool
about_jobs(char kind)
{
	return kind != EVENT_BACKLOG && kind != EVENT_WORKERS && kind != EVENT_RECOVERED;
}

/* One line about the whole; no mark-up */
static char *
headline(List *subjects, bool recovery)
{
	AlertSubject *first = linitial(subjects);
	const char *database = get_database_name(MyDatabaseId);
	int64		jobs = 0;
	bool		one_kind = true;
	ListCell   *cell;

	foreach(cell, subjects)
	{
		AlertSubject *subject = lfirst(cell);

		if (about_jobs(subject->kind))
			jobs += subject->count;
		one_kind = one_kind && subject->kind == first->kind;
	}
	if (recovery)
		return list_length(subjects) == 1 ?
			psprintf("%s has recovered in database %s", first->name, database) :
			psprintf("%d functions have recovered in database %s", list_length(subjects), database);
	if (jobs == 0)
		return psprintf("defer needs attention in database %s", database);
	if (!one_kind)
		return psprintf(INT64_FORMAT " jobs need attention in database %s", jobs, database);
	return jobs == 1 ? psprintf("a job %s in database %s", kind_words(first->kind), database) :
		psprintf(INT64_FORMAT " jobs %s in database %s", jobs, kind_words_many(first->kind), database);
}

/* Slack takes these three for mark-up and mentions */
static char *
slack_escaped(const char *text)
{
	StringInfoData buffer;

	initStringInfo(&buffer);
	for (; *text != '\0'; text++)
	{
		if (*text == '&')
			appendStringInfoString(&buffer, "&amp;");
		else if (*text == '<')
			appendStringInfoString(&buffer, "&lt;");
		else if (*text == '>')
			appendStringInfoString(&buffer, "&gt;");
		else if (*text == '`')
			appendStringInfoChar(&buffer, '\'');
		else
			appendStringInfoChar(&buffer, (unsigned char) *text < 0x20 ? ' ' : *text);
	}
	return buffer.data;
}

/* As it is, or for Slack in a span of code */
static char *
code(const char *text, bool slack)
{
	return slack ? psprintf("`%s`", slack_escaped(text)) : pstrdup(text);
}

static char *
plain(const char *text, bool slack)
{
	return slack ? slack_escaped(text) : pstrdup(text);
}

static void
add_subject(StringInfo body, const AlertSubject *subject, bool slack)
{
	const char *bullet = slack ? "\xe2\x80\xa2 " : "- ";

	if (subject->kind == EVENT_RECOVERED)
		appendStringInfo(body, "%s%s%s\n", bullet, code(subject->name, slack),
						 subject->message != NULL ? psprintf(": %s", plain(subject->message, slack)) :
						 " succeeds again");
	else if (!about_jobs(subject->kind))
		appendStringInfo(body, "%s%s\n", bullet,
						 plain(subject->message != NULL ? subject->message : subject->name, slack));
	else
		appendStringInfo(body, "%s%s: " INT64_FORMAT " %s%s\n", bullet, code(subject->name, slack),
						 subject->count, kind_name(subject->kind),
						 subject->message != NULL ?
						 psprintf(" (%s)", plain(subject->message, slack)) : "");
}

static void
add_sample(StringInfo body, const AlertSample *sample, bool slack)
{
	appendStringInfo(body, "job " INT64_FORMAT " %s", sample->job_id, code(sample->function, slack));
	if (sample->args != NULL)
		appendStringInfo(body, " %s", code(sample->args, slack));
	if (sample->attempts > 0)
		appendStringInfo(body, ", %d attempt%s", sample->attempts, sample->attempts == 1 ? "" : "s");
	if (sample->seconds >= 1)
		appendStringInfo(body, ", %.3g s", sample->seconds);
	else if (sample->seconds >= 0)
		appendStringInfo(body, ", %.3g ms", sample->seconds * 1000);
	if (sample->error != NULL)
		appendStringInfo(body, ": %s", plain(sample->error, slack));
	if (sample->sqlstate != NULL)
		appendStringInfo(body, " (%s)", sample->sqlstate);
	appendStringInfoChar(body, '\n');
}

static char *
body_text(const AlertRule *rule, List *subjects, List *samples, bool slack)
{
	StringInfoData body;
	ListCell   *cell;
	int			n = 0;

	initStringInfo(&body);
	foreach(cell, subjects)
	{
		if (n++ == SUBJECTS_MAX)
		{
			appendStringInfo(&body, "and %d more\n", list_length(subjects) - SUBJECTS_MAX);
			break;
		}
		add_subject(&body, lfirst(cell), slack);
	}
	foreach(cell, samples)
		add_sample(&body, lfirst(cell), slack);
	appendStringInfo(&body, slack ? "_alert %s_" : "\nalert %s\n", plain(rule->name, slack));
	return body.data;
}

/* ------------------------------------------------------------------------
 * Messages
 * ------------------------------------------------------------------------ */

/* [{"type": "section", "text": {"type": "mrkdwn", "text": ...}}] */
static Jsonb *
slack_blocks(const char *text)
{
	JsonbBuilder inner = {0};
	JsonbBuilder state = {0};
	JsonbValue	value;

	(void) jsonb_push(&inner, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_text(&inner, "type", "section");
	{
		JsonbBuilder mark = {0};

		(void) jsonb_push(&mark, WJB_BEGIN_OBJECT, NULL);
		jsonb_push_text(&mark, "type", "mrkdwn");
		jsonb_push_text(&mark, "text", text);
		jsonb_push_json(&inner, "text", JsonbValueToJsonb(jsonb_push(&mark, WJB_END_OBJECT, NULL)));
	}
	(void) jsonb_push(&state, WJB_BEGIN_ARRAY, NULL);
	JsonbToJsonbValue(JsonbValueToJsonb(jsonb_push(&inner, WJB_END_OBJECT, NULL)), &value);
	(void) jsonb_push(&state, WJB_ELEM, &value);
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_ARRAY, NULL));
}

static void
push_slack(JsonbBuilder *state, const AlertRule *rule, List *subjects, List *samples, bool recovery)
{
	char	   *head = slack_escaped(headline(subjects, recovery));
	char	   *text = psprintf("%s *%s*\n%s", recovery ? ":white_check_mark:" : ":red_circle:", head,
								body_text(rule, subjects, samples, true));

	jsonb_push_text(state, "text", head);
	/* Slack takes up to 3000 characters in a section */
	jsonb_push_json(state, "blocks", slack_blocks(alert_clipped(text, 2900)));
}

static void
push_mail(JsonbBuilder *state, const AlertRule *rule, List *subjects, List *samples, bool recovery)
{
	Datum		recipients = rule->recipients;
	JsonbBuilder to = {0};
	Datum	   *addresses;
	bool	   *nulls;
	int			n;

	args_text_array(recipients, &addresses, &nulls, &n);
	(void) jsonb_push(&to, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < n; i++)
	{
		JsonbValue	address;

		address.type = jbvString;
		address.val.string.val = TextDatumGetCString(addresses[i]);
		address.val.string.len = strlen(address.val.string.val);
		(void) jsonb_push(&to, WJB_ELEM, &address);
	}
	jsonb_push_json(state, "to", JsonbValueToJsonb(jsonb_push(&to, WJB_END_ARRAY, NULL)));
	jsonb_push_text(state, "subject", alert_clipped(headline(subjects, recovery), 300));
	jsonb_push_text(state, "body", body_text(rule, subjects, samples, false));
}

static void
push_subject(JsonbBuilder *array, const AlertSubject *subject)
{
	JsonbBuilder object = {0};
	JsonbValue	element;

	(void) jsonb_push(&object, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_text(&object, "subject", subject->name);
	jsonb_push_text(&object, "event", kind_name(subject->kind));
	jsonb_push_number(&object, "count", subject->count);
	if (subject->message != NULL)
		jsonb_push_text(&object, "message", subject->message);
	JsonbToJsonbValue(JsonbValueToJsonb(jsonb_push(&object, WJB_END_OBJECT, NULL)), &element);
	(void) jsonb_push(array, WJB_ELEM, &element);
}

static void
push_sample(JsonbBuilder *array, const AlertSample *sample)
{
	JsonbBuilder object = {0};
	JsonbValue	element;

	(void) jsonb_push(&object, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_number(&object, "job_id", sample->job_id);
	jsonb_push_text(&object, "function", sample->function);
	if (sample->args != NULL)
		jsonb_push_text(&object, "args", sample->args);
	if (sample->error != NULL)
		jsonb_push_text(&object, "error", sample->error);
	if (sample->sqlstate != NULL)
		jsonb_push_text(&object, "sqlstate", sample->sqlstate);
	jsonb_push_number(&object, "attempts", sample->attempts);
	if (sample->seconds >= 0)
		jsonb_push_number(&object, "duration_ms", (int64) (sample->seconds * 1000));
	JsonbToJsonbValue(JsonbValueToJsonb(jsonb_push(&object, WJB_END_OBJECT, NULL)), &element);
	(void) jsonb_push(array, WJB_ELEM, &element);
}

static void
push_http(JsonbBuilder *state, const AlertRule *rule, List *subjects, List *samples, bool recovery)
{
	JsonbBuilder message = {0};
	JsonbBuilder array = {0};
	ListCell   *cell;
	Jsonb	   *json;
	int			n = 0;

	(void) jsonb_push(&message, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_text(&message, "alert", rule->name);
	jsonb_push_text(&message, "database", get_database_name(MyDatabaseId));
	jsonb_push_text(&message, "status", recovery ? "recovered" : "firing");
	jsonb_push_text(&message, "text", headline(subjects, recovery));
	(void) jsonb_push(&array, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, subjects)
	{
		if (n++ < SUBJECTS_MAX)
			push_subject(&array, lfirst(cell));
	}
	jsonb_push_json(&message, "events", JsonbValueToJsonb(jsonb_push(&array, WJB_END_ARRAY, NULL)));
	array = (JsonbBuilder) {0};
	(void) jsonb_push(&array, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, samples)
		push_sample(&array, lfirst(cell));
	jsonb_push_json(&message, "samples", JsonbValueToJsonb(jsonb_push(&array, WJB_END_ARRAY, NULL)));
	json = JsonbValueToJsonb(jsonb_push(&message, WJB_END_OBJECT, NULL));
	jsonb_push_text(state, "method", "POST");
	jsonb_push_text(state, "type", "application/json");
	jsonb_push_text(state, "body", JsonbToCString(NULL, &json->root, VARSIZE(json)));
}

static Jsonb *
alert_metadata(const AlertRule *rule)
{
	JsonbBuilder state = {0};

	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	jsonb_push_text(&state, "alert", rule->name);
	return JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
}

/* The message as a job of the rule's owner */
void
alert_message_enqueue(const AlertRule *rule, List *subjects, List *samples, bool recovery)
{
	JsonbBuilder state = {0};
	Job			job = {0};
	const char *function;

	(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
	if (strcmp(rule->kind, "slack") == 0)
	{
		job.kind = JOB_SLACK;
		function = SLACK_FUNCTION;
		push_slack(&state, rule, subjects, samples, recovery);
	}
	else if (strcmp(rule->kind, "email") == 0)
	{
		job.kind = JOB_EMAIL;
		function = EMAIL_FUNCTION;
		push_mail(&state, rule, subjects, samples, recovery);
	}
	else
	{
		job.kind = JOB_HTTP;
		function = HTTP_FUNCTION;
		push_http(&state, rule, subjects, samples, recovery);
	}
	if (rule->endpoint != NULL)
		endpoint_push(&state, rule->endpoint, rule->endpoint_owner, rule->endpoint_created_at,
					  rule->owner);
	job.args = JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
	job.owner = rule->owner;
	job.function = cstring_to_text(function);
	job.queue = cstring_to_text(DEFAULT_QUEUE);
	job.run_at = GetCurrentTransactionStartTimestamp();
	job.scheduled_for = NO_TIME;
	job.discard_at = NO_TIME;
	job.metadata = alert_metadata(rule);
	settings_set_limits(&job);
	job.exceeds_caps = true;
	(void) job_caps_insert(&job);
}
