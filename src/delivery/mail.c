/*
 * mail.c
 *		E-mails by SMTP.
 *
 * The server is an endpoint's, or else the one of defer.smtp_url.  smtps:// is
 * TLS from the start.  With smtp:// TLS is begun where the server offers it,
 * and must be where there are credentials.  Certificates are always checked.
 *
 * A mail goes to all of its recipients or to none: if the server refuses one,
 * nothing is sent.  5xx is final, but for a refused login, which a new password
 * mends; all else is tried again.  The Message-ID is the same each time, by
 * which a second copy can be recognised.
 */
#include "postgres.h"

#include <time.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/guc_delivery.h"
#include "delivery/delivery.h"
#include "delivery/transfer.h"
#include "pure/mail_address.h"

/* Room for a name or a subject in a header */
#define HEADER_MAX		8192

/* ------------------------------------------------------------------------
 * The message
 * ------------------------------------------------------------------------ */

static bool
add_header(Transfer *transfer, const char *name, const char *value)
{
	return transfer_header(transfer, psprintf("%s: %s", name, value));
}

/* To: and the like; one address a line */
static bool
add_addresses(Transfer *transfer, const char *name, List *addresses)
{
	StringInfoData line;
	ListCell   *cell;

	if (addresses == NIL)
		return true;
	initStringInfo(&line);
	foreach(cell, addresses)
	{
		char		value[HEADER_MAX];

		if (!mail_address_header(to_utf8(lfirst(cell)), value, sizeof(value)))
			return false;
		if (line.len > 0)
			appendStringInfoString(&line, ",\r\n ");
		appendStringInfoString(&line, value);
	}
	return add_header(transfer, name, line.data);
}

/* Who gets it, as the server is told */
static bool
add_recipients(Transfer *transfer, List *addresses)
{
	ListCell   *cell;

	foreach(cell, addresses)
	{
		char		bare[MAIL_ADDRESS_MAX + 1];
		char	   *bracketed;
		struct curl_slist *list;

		if (!mail_address_bare(lfirst(cell), bare))
			return false;
		bracketed = psprintf("<%s>", bare);
		list = curl_slist_append(transfer->recipients, bracketed);
		if (list == NULL)
			return false;
		transfer->recipients = list;
	}
	return true;
}

/* When the job was enqueued, as RFC 5322 writes it */
static char *
mail_date(TimestampTz at)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
		"Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t		seconds = (time_t) timestamptz_to_time_t(at);
	struct tm	tm;

	gmtime_r(&seconds, &tm);
	return psprintf("%s, %02d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday], tm.tm_mday,
					months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static bool
add_text(curl_mime *mime, const char *text, const char *type)
{
	curl_mimepart *part = curl_mime_addpart(mime);
	char	   *utf8 = to_utf8(text);

	return part != NULL &&
		curl_mime_data(part, utf8, strlen(utf8)) == CURLE_OK &&
		curl_mime_type(part, type) == CURLE_OK &&
		curl_mime_encoder(part, "quoted-printable") == CURLE_OK;
}

/* Plain, or plain and HTML to choose from */
static bool
add_body(const Job *job, Transfer *transfer)
{
	const char *body = delivery_text(job->args, "body");
	const char *html = delivery_text(job->args, "html");

	transfer->mime = curl_mime_init(transfer->easy);
	if (transfer->mime == NULL)
		return false;
	if ((body != NULL && !add_text(transfer->mime, body, "text/plain; charset=utf-8")) ||
		(html != NULL && !add_text(transfer->mime, html, "text/html; charset=utf-8")) ||
		(body != NULL && html != NULL &&
		 !add_header(transfer, "Content-Type", "multipart/alternative")))
		return false;
	return curl_easy_setopt(transfer->easy, CURLOPT_MIMEPOST, transfer->mime) == CURLE_OK;
}

static bool
add_message(const Job *job, Transfer *transfer, const char *from)
{
	const char *subject = delivery_text(job->args, "subject");
	const char *reply_to = delivery_text(job->args, "reply_to");
	char		value[HEADER_MAX];
	char		bare[MAIL_ADDRESS_MAX + 1];

	if (!mail_address_bare(from, bare) ||
		!mail_address_header(to_utf8(from), value, sizeof(value)) ||
		!add_header(transfer, "From", value) ||
		!add_addresses(transfer, "To", delivery_list(job->args, "to")) ||
		!add_addresses(transfer, "Cc", delivery_list(job->args, "cc")) ||
		(reply_to != NULL && !add_addresses(transfer, "Reply-To", list_make1(pstrdup(reply_to)))) ||
		!mail_text_header(to_utf8(subject != NULL ? subject : ""), strlen("Subject: "),
						  value, sizeof(value)) ||
		!add_header(transfer, "Subject", value[0] == '\0' ? " " : value) ||
		!add_header(transfer, "Date", mail_date(job->enqueued_at)) ||
		!add_header(transfer, "Message-ID",
					psprintf("<%s@%s>", delivery_key(job), strchr(bare, '@') + 1)) ||
		!add_header(transfer, "Auto-Submitted", "auto-generated"))
		return false;
	return add_body(job, transfer);
}

/* ------------------------------------------------------------------------
 * The server
 * ------------------------------------------------------------------------ */

/* user:password@ of defer.smtp_url as options: libcurl is told to take none from a URL */
static bool
set_server(Transfer *transfer, const char *url)
{
	CURLU	   *parsed = curl_url();
	char	   *user = NULL;
	char	   *password = NULL;
	char	   *bare = NULL;
	bool		credentials;
	bool		done;

	if (parsed == NULL)
		return false;
	done = curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK;
	if (done && curl_url_get(parsed, CURLUPART_USER, &user, CURLU_URLDECODE) == CURLUE_OK)
		curl_easy_setopt(transfer->easy, CURLOPT_USERNAME, user);
	if (done && curl_url_get(parsed, CURLUPART_PASSWORD, &password, CURLU_URLDECODE) == CURLUE_OK)
		curl_easy_setopt(transfer->easy, CURLOPT_PASSWORD, password);
	credentials = user != NULL;
	done = done && curl_url_set(parsed, CURLUPART_USER, NULL, 0) == CURLUE_OK &&
		curl_url_set(parsed, CURLUPART_PASSWORD, NULL, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_URL, &bare, 0) == CURLUE_OK;
	if (done)
		curl_easy_setopt(transfer->easy, CURLOPT_URL, bare);
	curl_easy_setopt(transfer->easy, CURLOPT_USE_SSL,
					 (long) (credentials ? CURLUSESSL_ALL : CURLUSESSL_TRY));
	curl_free(user);
	curl_free(password);
	curl_free(bare);
	curl_url_cleanup(parsed);
	return done;
}

static bool
set_endpoint(Transfer *transfer, const Endpoint *endpoint)
{
	curl_easy_setopt(transfer->easy, CURLOPT_URL, endpoint->url);
	if (endpoint->username != NULL)
	{
		curl_easy_setopt(transfer->easy, CURLOPT_USERNAME, endpoint->username);
		curl_easy_setopt(transfer->easy, CURLOPT_PASSWORD,
						 endpoint->password != NULL ? endpoint->password : "");
	}
	curl_easy_setopt(transfer->easy, CURLOPT_USE_SSL,
					 (long) (endpoint->username != NULL ? CURLUSESSL_ALL : CURLUSESSL_TRY));
	return true;
}

bool
mail_prepare(const Job *job, const Endpoint *endpoint, Transfer *transfer, DeliveryEnd *end)
{
	const char *from = delivery_text(job->args, "from");
	char		bare[MAIL_ADDRESS_MAX + 1];
	CURL	   *easy = transfer->easy;
	bool		done;

	transfer->is_mail = true;
	if (from == NULL && endpoint != NULL)
		from = endpoint->sender;
	if (from == NULL)
		from = defer_smtp_from;
	if (from == NULL || !mail_address_bare(from, bare))
	{
		delivery_refuse(end, ERRCODE_INVALID_PARAMETER_VALUE, pstrdup("the e-mail has no sender"),
						pstrdup("The administrator can set defer.smtp_from."));
		return false;
	}
	if (endpoint == NULL && (defer_smtp_url == NULL || defer_smtp_url[0] == '\0'))
	{
		/* it was set when the job was enqueued, and may be again */
		end->outcome = DELIVERY_RETRY;
		end->sqlerrcode = ERRCODE_CONFIG_FILE_ERROR;
		end->message = pstrdup("no mail server is known: defer.smtp_url is not set");
		return false;
	}

#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
#else
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long) (CURLPROTO_SMTP | CURLPROTO_SMTPS));
#endif
	transfer->trusted = endpoint == NULL;
	done = endpoint != NULL ? set_endpoint(transfer, endpoint) :
		set_server(transfer, defer_smtp_url);
	curl_easy_setopt(easy, CURLOPT_MAIL_FROM, psprintf("<%s>", bare));
	done = done &&
		add_recipients(transfer, delivery_list(job->args, "to")) &&
		add_recipients(transfer, delivery_list(job->args, "cc")) &&
		add_recipients(transfer, delivery_list(job->args, "bcc")) &&
		add_message(job, transfer, from);
	if (!done || transfer->recipients == NULL)
	{
		delivery_refuse(end, ERRCODE_INVALID_PARAMETER_VALUE,
						pstrdup("the job's arguments do not make an e-mail"), NULL);
		return false;
	}
	curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, transfer->recipients);
	curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) delivery_timeout(job, MAIL_DEFAULT_TIMEOUT));
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
	return true;
}

/* ------------------------------------------------------------------------
 * The answer
 * ------------------------------------------------------------------------ */

/* A line of the server as it can be shown; NULL: there is none */
static char *
shown_line(const TransferBuffer *answer)
{
	char	   *line;

	if (answer->length < 3)
		return NULL;
	line = pnstrdup(answer->data, Min(strcspn(answer->data, "\r\n"), 500));
	for (char *c = line; *c != '\0'; c++)
	{
		if ((unsigned char) *c < 0x20 || (unsigned char) *c > 0x7e)
			*c = '?';
	}
	return line;
}

void
mail_judge(const Job *job, Transfer *transfer, int code, DeliveryEnd *end)
{
	long		status = 0;
	char	   *line = shown_line(code == CURLE_OK ? &transfer->head : &transfer->body);

	(void) curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_OK)
	{
		JsonbBuilder state = {0};

		end->outcome = DELIVERY_DONE;
		(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
		push_number(&state, "status", status);
		if (line != NULL)
			push_text(&state, "answer", line);
		end->result = JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
		return;
	}
	delivery_network_error(transfer, code, "e-mail", end);
	if (transfer->refused || status < 400)
		return;
	end->sqlerrcode = ERRCODE_DELIVERY_ANSWER;
	end->timed_out = false;
	end->message = psprintf("e-mail: the server answered %s",
							line != NULL ? line : psprintf("%ld", status));
	end->outcome = status >= 500 && code != CURLE_LOGIN_DENIED ? DELIVERY_REFUSED : DELIVERY_RETRY;
}
