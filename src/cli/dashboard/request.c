/*
 * request.c
 *		A request of a browser: its fields.
 */
#include "dashboard/request.h"

#include <stdlib.h>
#include <string.h>

static const char *
find_field(const Field *fields, int n, const char *name)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(fields[i].name, name) == 0)
			return fields[i].value;
	}
	return NULL;
}

/* Return a field of the query; NULL: it is missing or empty */
const char *
request_query(const Request *request, const char *name)
{
	const char *value = find_field(request->query, request->nquery, name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Return a field of the form; "": it is missing */
const char *
request_form(const Request *request, const char *name)
{
	const char *value = find_field(request->form, request->nform, name);

	return value != NULL ? value : "";
}

/* Add a field of the query; those beyond the maximum are ignored */
void
request_add_query(Request *request, const char *name, const char *value)
{
	if (request->nquery == REQUEST_MAX_FIELDS)
		return;
	request->query[request->nquery].name = xstrdup(name);
	request->query[request->nquery++].value = xstrdup(value != NULL ? value : "");
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decode application/x-www-form-urlencoded; NULs are left out */
static char *
decode(const char *text, size_t len)
{
	char	   *result = xmalloc(len + 1);
	size_t		n = 0;

	for (size_t i = 0; i < len; i++)
	{
		if (text[i] == '+')
			result[n++] = ' ';
		else if (text[i] == '%' && i + 2 < len && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0)
		{
			char		c = (char) (hex(text[i + 1]) * 16 + hex(text[i + 2]));

			if (c != '\0')
				result[n++] = c;
			i += 2;
		}
		else if (text[i] != '\0')
			result[n++] = text[i];
	}
	result[n] = '\0';
	return result;
}

/* Read the fields of a form; NULL is an empty form */
void
request_parse_form(Request *request, const char *body)
{
	const char *at = body;

	while (at != NULL && *at != '\0' && request->nform < REQUEST_MAX_FIELDS)
	{
		Field	   *field = &request->form[request->nform++];
		size_t		len = strcspn(at, "&");
		const char *equals = memchr(at, '=', len);
		size_t		name_len = equals != NULL ? (size_t) (equals - at) : len;

		field->name = decode(at, name_len);
		field->value = equals != NULL ? decode(equals + 1, len - name_len - 1) : xstrdup("");
		at += len + (at[len] == '&');
	}
}

static void
free_fields(Field *fields, int n)
{
	for (int i = 0; i < n; i++)
	{
		free(fields[i].name);
		memset(fields[i].value, 0, strlen(fields[i].value));	/* may be a password */
		free(fields[i].value);
	}
}

/* Free the fields; the location and the name of the file are the caller's */
void
request_free(Request *request)
{
	free_fields(request->query, request->nquery);
	free_fields(request->form, request->nform);
}
