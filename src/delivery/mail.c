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

#include "nodes/pg_list.h"
#include "pgtime.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "pure/mail_address.h"
#include "pure/url_check.h"
#include "base/compat.h"
#include "base/errcodes.h"
#include "base/guc_delivery.h"
#include "base/job.h"
#include "base/jsonb_util.h"
#include "delivery/dispatch.h"

/* Room for a name or a subject in a header */
#define HEADER_MAX		8192

/* How long to wait for a connection (milliseconds) */
#define CONNECT_TIMEOUT	10000

/* ------------------------------------------------------------------------
 * The message
 * ------------------------------------------------------------------------ */

static void
add_header(List **lines, const char *name, const char *value)
{
	*lines = lappend(*lines, psprintf("%s: %s", name, value));
}

/* Add To: and the like, one address a line; false: one is not an address */
static bool
add_addresses(List **lines, const char *name, List *addresses)
{
	StringInfoData line;
	ListCell   *cell;

	if (addresses == NIL)
		return true;
	initStringInfo(&line);
	foreach(cell, addresses)
	{
		char		value[HEADER_MAX];

		if (!mail_address_header(delivery_to_utf8(lfirst(cell)), value, sizeof(value)))
			return false;
		if (line.len > 0)
			appendStringInfoString(&line, ",\r\n ");
		appendStringInfoString(&line, value);
	}
	add_header(lines, name, line.data);
	return true;
}

/* Add the recipients as the server is told them; false: one is not an address */
static bool
add_recipients(List **recipients, List *addresses)
{
	ListCell   *cell;

	foreach(cell, addresses)
	{
		char		bare[MAIL_ADDRESS_MAX + 1];

		if (!mail_address_bare(lfirst(cell), bare))
			return false;
		*recipients = lappend(*recipients, psprintf("<%s>", bare));
	}
	return true;
}

/* Write a time as RFC 5322 has it; the names of pg_strftime() are English */
static char *
mail_date(TimestampTz at)
{
	pg_time_t	seconds = timestamptz_to_time_t(at);
	char		date[64];

	if (pg_strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", pg_gmtime(&seconds)) == 0)
		elog(ERROR, "could not write a date");
	return pstrdup(date);
}

/* The strings up to a NULL */
static const char *const *
string_array(List *strings)
{
	const char **array = palloc((list_length(strings) + 1) * sizeof(char *));
	ListCell   *cell;
	int			n = 0;

	foreach(cell, strings)
		array[n++] = lfirst(cell);
	array[n] = NULL;
	return array;
}

/* Describe headers and body; false: the arguments do not make an e-mail */
static bool
set_message(const Job *job, TransferRequest *request, const char *from, const char *bare)
{
	const char *subject = jsonb_read_text(job->args, "subject");
	const char *reply_to = jsonb_read_text(job->args, "reply_to");
	const char *text = jsonb_read_text(job->args, "body");
	const char *html = jsonb_read_text(job->args, "html");
	List	   *lines = NIL;
	char		value[HEADER_MAX];

	if (!mail_address_header(delivery_to_utf8(from), value, sizeof(value)))
		return false;
	add_header(&lines, "From", value);
	if (!add_addresses(&lines, "To", jsonb_read_list(job->args, "to")) ||
		!add_addresses(&lines, "Cc", jsonb_read_list(job->args, "cc")) ||
		(reply_to != NULL && !add_addresses(&lines, "Reply-To", list_make1(pstrdup(reply_to)))) ||
		!mail_text_header(delivery_to_utf8(subject != NULL ? subject : ""), strlen("Subject: "),
						  value, sizeof(value)))
		return false;
	add_header(&lines, "Subject", value[0] == '\0' ? " " : value);
	add_header(&lines, "Date", mail_date(job->enqueued_at));
	add_header(&lines, "Message-ID",
			   psprintf("<%s@%s>", delivery_key(job), strchr(bare, '@') + 1));
	add_header(&lines, "Auto-Submitted", "auto-generated");
	if (text != NULL && html != NULL)
		add_header(&lines, "Content-Type", "multipart/alternative");
	request->text = text != NULL ? delivery_to_utf8(text) : NULL;
	request->html = html != NULL ? delivery_to_utf8(html) : NULL;
	request->headers = string_array(lines);
	return text != NULL || html != NULL;
}

/* ------------------------------------------------------------------------
 * The server
 * ------------------------------------------------------------------------ */

/* Read the first line of defer.smtp_password_file; NULL: it cannot be read, errno says why */
static char *
read_password(void)
{
	char		line[1024];
	FILE	   *file = AllocateFile(defer_smtp_password_file, "r");
	char	   *read;

	if (file == NULL)
		return NULL;
	errno = 0;
	read = fgets(line, sizeof(line), file);
	if (read != NULL)
		line[strcspn(line, "\r\n")] = '\0';
	else if (errno == 0)
		line[0] = '\0';
	FreeFile(file);
	return read != NULL || errno == 0 ? pstrdup(line) : NULL;
}

/* Describe the server of defer.smtp_url; false: not as it is configured now */
static bool
set_default_server(TransferRequest *request, DeliveryEnd *end)
{
	/* it was right when the job was enqueued, and may be again */
	end->outcome = DELIVERY_RETRY;
	end->sqlerrcode = ERRCODE_CONFIG_FILE_ERROR;
	if (defer_smtp_url == NULL || defer_smtp_url[0] == '\0')
	{
		end->message = pstrdup("no SMTP server is configured: defer.smtp_url is not set");
		return false;
	}
	request->trusted = true;
	if (!url_take_user(defer_smtp_url, palloc, &request->url, &request->username))
	{
		request->url = defer_smtp_url;
		return true;
	}
	if (defer_smtp_password_file == NULL || defer_smtp_password_file[0] == '\0')
		return true;
	request->password = read_password();
	if (request->password == NULL)
		end->message = psprintf("could not read the file of defer.smtp_password_file: %s",
								strerror(errno));
	return request->password != NULL;
}

/* The sender by the job, the endpoint or the settings; NULL: there is none that it may use */
static const char *
choose_sender(const Job *job, const Endpoint *endpoint, DeliveryEnd *end)
{
	const char *from = jsonb_read_text(job->args, "from");
	char		bare[MAIL_ADDRESS_MAX + 1];

	if (endpoint != NULL && endpoint_fixes_sender(endpoint, job->owner))
	{
		if (from != NULL && strcmp(from, endpoint->sender) != 0)
		{
			delivery_refuse(end, ERRCODE_INSUFFICIENT_PRIVILEGE,
							psprintf("permission denied to send as \"%s\" with endpoint \"%s\"", from,
									 endpoint->name), NULL);
			return NULL;
		}
		from = endpoint->sender;
	}
	if (from == NULL && endpoint != NULL)
		from = endpoint->sender;
	if (from == NULL)
		from = defer_smtp_from;
	if (from != NULL && mail_address_bare(from, bare))
		return from;
	delivery_refuse(end, ERRCODE_INVALID_PARAMETER_VALUE, pstrdup("the e-mail has no sender"),
					pstrdup("The administrator can set defer.smtp_from."));
	return NULL;
}

bool
mail_prepare(const Job *job, const Endpoint *endpoint, TransferRequest *request, DeliveryEnd *end)
{
	const char *from = choose_sender(job, endpoint, end);
	List	   *recipients = NIL;
	char		bare[MAIL_ADDRESS_MAX + 1];

	if (from == NULL)
		return false;
	(void) mail_address_bare(from, bare);
	request->is_mail = true;
	request->mail_from = psprintf("<%s>", bare);
	request->timeout = delivery_timeout(job, MAIL_DEFAULT_TIMEOUT);
	request->connect_timeout = CONNECT_TIMEOUT;
	if (endpoint != NULL)
	{
		request->url = endpoint->url;
		request->username = endpoint->username;
		request->password = endpoint->password;
	}
	else if (!set_default_server(request, end))
		return false;
	if (!add_recipients(&recipients, jsonb_read_list(job->args, "to")) ||
		!add_recipients(&recipients, jsonb_read_list(job->args, "cc")) ||
		!add_recipients(&recipients, jsonb_read_list(job->args, "bcc")) ||
		recipients == NIL || !set_message(job, request, from, bare))
	{
		delivery_refuse(end, ERRCODE_INVALID_PARAMETER_VALUE,
						pstrdup("the job's arguments do not make an e-mail"), NULL);
		return false;
	}
	request->recipients = string_array(recipients);
	return true;
}

/* ------------------------------------------------------------------------
 * The answer
 * ------------------------------------------------------------------------ */

/* Copy the first line of an answer as it can be shown; NULL: there is none */
static char *
shown_line(const char *answer, size_t length)
{
	char	   *line;

	if (length < 3)
		return NULL;
	line = pnstrdup(answer, Min(strcspn(answer, "\r\n"), 500));
	for (char *c = line; *c != '\0'; c++)
	{
		if ((unsigned char) *c < 0x20 || (unsigned char) *c > 0x7e)
			*c = '?';
	}
	return line;
}

void
mail_classify(const Job *job, const TransferResult *result, DeliveryEnd *end)
{
	char	   *line;

	if (result->outcome == TRANSFER_ANSWERED)
	{
		JsonbBuilder state = {0};

		line = shown_line(result->head, result->head_length);
		end->outcome = DELIVERY_DONE;
		(void) jsonb_push(&state, WJB_BEGIN_OBJECT, NULL);
		jsonb_push_number(&state, "status", result->status);
		if (line != NULL)
			jsonb_push_text(&state, "answer", line);
		end->result = JsonbValueToJsonb(jsonb_push(&state, WJB_END_OBJECT, NULL));
		return;
	}
	if (result->outcome != TRANSFER_REJECTED && result->outcome != TRANSFER_LOGIN_DENIED)
	{
		delivery_network_error(job, result, "e-mail", end);
		return;
	}
	line = shown_line(result->body, result->body_length);
	end->sqlerrcode = ERRCODE_DELIVERY_ANSWER;
	end->message = psprintf("e-mail: the server answered %s",
							line != NULL ? line : psprintf("%ld", result->status));
	end->outcome = result->status >= 500 && result->outcome == TRANSFER_REJECTED ?
		DELIVERY_REFUSED : DELIVERY_RETRY;
}
