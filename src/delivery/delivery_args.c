/*
 * delivery_args.c
 *		The arguments of deliveries as JSON: writing them, reading them, and what
 *		must not be in them.
 */
#include "postgres.h"

#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/jsonb_util.h"
#include "pure/http_headers.h"
#include "pure/mail_address.h"
#include "pure/url_check.h"
#include "base/compat.h"
#include "delivery/delivery.h"

/* Longest URL */
#define URL_MAX_LENGTH	8000

const char *const delivery_http_schemes[] = {"http", "https", NULL};
const char *const delivery_mail_schemes[] = {"smtp", "smtps", NULL};

/* ------------------------------------------------------------------------
 * Checks
 * ------------------------------------------------------------------------ */

void
delivery_check_no_control(const char *value, const char *parameter)
{
	for (const unsigned char *c = (const unsigned char *) value; *c != '\0'; c++)
	{
		if (*c < 0x20 || *c == 0x7f)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" must not contain control characters", parameter),
					 errdetail("Character %d is one.", (int) (c - (const unsigned char *) value) + 1),
					 errhidestmt(true)));
	}
}

static void
check_header(const char *name, const char *value, void *context)
{
	switch (http_check_header(name, value))
	{
		case HEADER_GOOD:
			break;
		case HEADER_BAD_NAME:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" is not the name of a header", name),
					 errhint("It has letters, digits and hyphens."),
					 errhidestmt(true)));
			break;
		case HEADER_OWN:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("header \"%s\" cannot be set", name),
					 errhint("It follows from the request."),
					 errhidestmt(true)));
			break;
		case HEADER_BAD_VALUE:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("value of header \"%s\" must not contain control characters", name),
					 errhidestmt(true)));
	}
}

void
delivery_check_headers(const Jsonb *headers)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (headers == NULL)
		return;
	if (!JB_ROOT_IS_OBJECT(headers))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"headers\" must be a JSON object"),
				 errhint("Write it as in '{\"Accept\": \"text/csv\"}'."),
				 errhidestmt(true)));
	iterator = JsonbIteratorInit(unconstify(JsonbContainer *, &headers->root));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_VALUE && value.type != jbvString)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the values in \"headers\" must be strings"),
					 errhidestmt(true)));
	}
	jsonb_read_pairs(headers, check_header, NULL);
}

/* Messages do not repeat the URL: its path may be a secret */
char *
delivery_check_url(const char *url, const char *const *schemes, const char *parameter)
{
	delivery_check_no_control(url, parameter);
	if (strlen(url) > URL_MAX_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must have at most %d bytes", parameter, URL_MAX_LENGTH),
				 errhidestmt(true)));
	switch (url_check(url, schemes))
	{
		case URL_GOOD:
			break;
		case URL_MALFORMED:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" is not a URL", parameter),
					 errdetail("It must be whole, beginning with %s:// or %s://, with special characters encoded.",
							   schemes[0], schemes[1]),
					 errhidestmt(true)));
			break;
		case URL_WRONG_SCHEME:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" must begin with %s:// or %s://", parameter, schemes[0], schemes[1]),
					 errhidestmt(true)));
			break;
		case URL_HAS_USER:
		case URL_HAS_PASSWORD:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" must not contain a user or password", parameter),
					 errhint("Keep them in an endpoint: see defer.endpoint()."),
					 errhidestmt(true)));
	}
	return pstrdup(url);
}

void
delivery_check_mail_address(const char *address, const char *parameter)
{
	const char *problem;

	if (!mail_address_valid(address, &problem))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not an e-mail address: %s", parameter, problem),
				 errhint("Write name@example.com, or Some Name <name@example.com>.")));
}
