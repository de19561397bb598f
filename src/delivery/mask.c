/*
 * mask.c
 *		Secrets of endpoints in what a peer answers.
 *
 * A peer may send back what it was sent, and the answer is kept in the job's
 * result, where roles read it that may not read the endpoint.  So each secret is
 * overwritten, as it stands and as it is commonly written in answers: in JSON, in
 * a URL, in HTML.  More of an answer is read than is kept, so that a secret is
 * whole when it is looked for (see mask_length()).
 *
 * A peer that wants to give a secret away can: no list of encodings is complete.
 * The URL of an endpoint is its owner's choice, and so is the peer.
 */
#include "postgres.h"

#include <ctype.h>

#include "common/base64.h"
#include "lib/stringinfo.h"

#include "base/compat.h"
#include "base/jsonb_util.h"
#include "delivery/dispatch.h"

/* Shorter secrets are not looked for: they would be found in any text */
#define SECRET_MIN	6

typedef void (*SecretCall) (const char *secret, void *context);

/* ------------------------------------------------------------------------
 * Secrets
 * ------------------------------------------------------------------------ */

typedef struct SecretVisit
{
	SecretCall	call;
	void	   *context;
} SecretVisit;

/* Visit the value of a header, and its last word, as of "Bearer ..." */
static void
visit_header(const char *name, const char *value, void *context)
{
	SecretVisit *visit = context;
	const char *word = strrchr(value, ' ');

	visit->call(value, visit->context);
	if (word != NULL)
		visit->call(word + 1, visit->context);
}

/* Visit user:password as basic authentication sends it */
static void
visit_basic(const Endpoint *endpoint, SecretCall call, void *context)
{
	char	   *pair = psprintf("%s:%s", endpoint->username, endpoint->password);
	int			size = pg_b64_enc_len(strlen(pair)) + 1;
	char	   *encoded = palloc0(size);

	if (compat_b64_encode(pair, strlen(pair), encoded, size - 1) >= 0)
		call(encoded, context);
}

/* Visit the path of the URL, and the values of its query by themselves */
static void
visit_url(const char *url, SecretCall call, void *context)
{
	const char *path = strstr(url, "://");
	char	   *rest;
	char	   *pair;

	if (path == NULL || (path = strchr(path + 3, '/')) == NULL)
		return;
	call(path, context);
	if ((path = strchr(path, '?')) == NULL)
		return;
	rest = pstrdup(path + 1);
	while ((pair = strsep(&rest, "&")) != NULL)
	{
		char	   *value = strchr(pair, '=');

		call(value != NULL ? value + 1 : pair, context);
	}
}

static void
visit_secrets(const Endpoint *endpoint, SecretCall call, void *context)
{
	SecretVisit visit = {call, context};

	if (endpoint->password != NULL)
		call(endpoint->password, context);
	if (endpoint->secret != NULL)
		call(endpoint->secret, context);
	if (endpoint->username != NULL && endpoint->password != NULL)
		visit_basic(endpoint, call, context);
	jsonb_read_pairs(endpoint->headers, visit_header, &visit);
	visit_url(endpoint->url, call, context);
}

/* ------------------------------------------------------------------------
 * How it may be written
 * ------------------------------------------------------------------------ */

static char *
as_json(const char *secret, const char *escaped)
{
	StringInfoData out;

	initStringInfo(&out);
	for (; *secret != '\0'; secret++)
	{
		if (strchr(escaped, *secret) != NULL)
			appendStringInfoChar(&out, '\\');
		appendStringInfoChar(&out, *secret);
	}
	return out.data;
}

static char *
as_url(const char *secret, const char *format)
{
	StringInfoData out;

	initStringInfo(&out);
	for (; *secret != '\0'; secret++)
	{
		if (isalnum((unsigned char) *secret) || strchr("-._~", *secret) != NULL)
			appendStringInfoChar(&out, *secret);
		else
			appendStringInfo(&out, format, (unsigned char) *secret);
	}
	return out.data;
}

static char *
as_html(const char *secret, const char *apostrophe)
{
	StringInfoData out;

	initStringInfo(&out);
	for (; *secret != '\0'; secret++)
	{
		switch (*secret)
		{
			case '&':
				appendStringInfoString(&out, "&amp;");
				break;
			case '<':
				appendStringInfoString(&out, "&lt;");
				break;
			case '>':
				appendStringInfoString(&out, "&gt;");
				break;
			case '"':
				appendStringInfoString(&out, "&quot;");
				break;
			case '\'':
				appendStringInfoString(&out, apostrophe);
				break;
			default:
				appendStringInfoChar(&out, *secret);
		}
	}
	return out.data;
}

typedef struct Masking
{
	char	   *data;
	size_t		length;
	size_t		longest;		/* of all forms of all secrets */
} Masking;

/* Overwrite each copy of a secret in one form */
static void
mask_form(const char *form, Masking *masking)
{
	char	   *data = masking->data;
	size_t		length = masking->length;
	size_t		n = strlen(form);
	char	   *at = data;

	masking->longest = Max(masking->longest, n);
	if (data == NULL)
		return;
	while (length - (at - data) >= n &&
		   (at = memmem(at, length - (at - data), form, n)) != NULL)
	{
		memset(at, '*', n);
		at += n;
	}
}

static void
mask_secret(const char *secret, void *context)
{
	if (strlen(secret) < SECRET_MIN)
		return;
	mask_form(secret, context);
	mask_form(as_json(secret, "\"\\"), context);
	mask_form(as_json(secret, "\"\\/"), context);
	mask_form(as_url(secret, "%%%02X"), context);
	mask_form(as_url(secret, "%%%02x"), context);
	mask_form(as_html(secret, "&#39;"), context);
	mask_form(as_html(secret, "&#x27;"), context);
}

void
mask_secrets(const Endpoint *endpoint, char *data, size_t length)
{
	Masking		masking = {data, length, 0};

	if (endpoint != NULL && data != NULL && length > 0)
		visit_secrets(endpoint, mask_secret, &masking);
}

size_t
mask_length(const Endpoint *endpoint)
{
	Masking		masking = {NULL, 0, 0};

	if (endpoint != NULL)
		visit_secrets(endpoint, mask_secret, &masking);
	return masking.longest;
}
