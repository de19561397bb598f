/*
 * http_headers.c
 *		Headers of HTTP.  No function of the C library that depends on the locale is
 *		used, and none of the server: the fuzzer has neither.
 */
#include "pure/http_headers.h"

#include <string.h>

/* Set by the one who sends, or by libcurl; lower case */
static const char *const own_headers[] = {
	"host", "content-length", "transfer-encoding", "connection", "expect", "te", "trailer",
	"upgrade", "proxy-authorization", "proxy-connection", "keep-alive",
};

/* What names are made of (RFC 9110, 5.6.2) */
static bool
is_token_character(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		(c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
is_token(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		if (!is_token_character((unsigned char) text[i]))
			return false;
	}
	return length > 0;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

bool
http_header_is(const HttpHeader *header, const char *name)
{
	if (strlen(name) != header->name_length)
		return false;
	for (size_t i = 0; i < header->name_length; i++)
	{
		if (lower(header->name[i]) != name[i])
			return false;
	}
	return true;
}

HeaderCheck
http_check_header(const char *name, const char *value)
{
	HttpHeader	header = {name, strlen(name), value, strlen(value)};

	if (!is_token(name, header.name_length))
		return HEADER_BAD_NAME;
	for (size_t i = 0; i < sizeof(own_headers) / sizeof(own_headers[0]); i++)
	{
		if (http_header_is(&header, own_headers[i]))
			return HEADER_OWN;
	}
	for (const unsigned char *c = (const unsigned char *) value; *c != '\0'; c++)
	{
		if ((*c < 0x20 && *c != '\t') || *c == 0x7f)
			return HEADER_BAD_VALUE;
	}
	return HEADER_GOOD;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool
http_next_header(const char **position, HttpHeader *header)
{
	while (**position != '\0')
	{
		const char *line = *position;
		const char *end = line + strcspn(line, "\r\n");
		const char *colon = memchr(line, ':', end - line);

		*position = end + strspn(end, "\r\n");
		if (colon == NULL || !is_token(line, colon - line))
			continue;
		header->name = line;
		header->name_length = colon - line;
		header->value = colon + 1;
		while (header->value < end && is_blank(*header->value))
			header->value++;
		while (end > header->value && is_blank(end[-1]))
			end--;
		header->value_length = end - header->value;
		return true;
	}
	return false;
}
