/*
 * url_check.c
 *		See url_check.h.
 *
 * libcurl has a parser of URLs, but is not linked into the backends that call
 * defer.endpoint() and defer.http().  A URL that is refused here would fail
 * when it is sent; safety does not depend on it, as addresses are checked when
 * a socket is connected.
 */
#include "pure/url_check.h"

#include <arpa/inet.h>
#include <string.h>

/* Longest host name (RFC 1035), and more than enough for an IPv6 address and its zone */
#define HOST_MAX	255

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

/* Check for the beginning of a text, in whatever case; "start" in lower case */
static bool
starts_with(const char *text, const char *start)
{
	for (; *start != '\0'; text++, start++)
	{
		if (lower(*text) != *start)
			return false;
	}
	return true;
}

/* Letters of any language may be in a name: libcurl encodes it, or says that it cannot */
static bool
is_name(const char *text, size_t length)
{
	if (length == 0 || length > HOST_MAX || text[0] == '.')
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (!is_alnum(text[i]) && text[i] != '-' && text[i] != '_' &&
			(text[i] != '.' || text[i - 1] == '.') && (unsigned char) text[i] < 0x80)
			return false;
	}
	return true;
}

/* An IPv6 address in brackets; *length is the whole text's, and then its own */
static bool
is_bracketed(const char *text, size_t *length)
{
	const char *end = memchr(text, ']', *length);
	char		address[INET6_ADDRSTRLEN];
	unsigned char bytes[16];
	size_t		n;

	if (end == NULL)
		return false;
	n = (size_t) (end - text) - 1;
	if (n >= sizeof(address))
		return false;
	memcpy(address, text + 1, n);
	address[n] = '\0';
	*length = n + 2;
	return inet_pton(AF_INET6, address, bytes) == 1;
}

/* ":1" to ":65535", or nothing */
static bool
is_port(const char *text, size_t length)
{
	long		port = 0;

	if (length == 0)
		return true;
	if (text[0] != ':' || length < 2 || length > 6)
		return false;
	for (size_t i = 1; i < length; i++)
	{
		if (!is_digit(text[i]))
			return false;
		port = port * 10 + (text[i] - '0');
	}
	return port >= 1 && port <= 65535;
}

static bool
is_host_and_port(const char *text, size_t length)
{
	size_t		host = length;

	if (length > 0 && text[0] == '[')
		return is_bracketed(text, &host) && is_port(text + host, length - host);
	for (size_t i = 0; i < length && host == length; i++)
	{
		if (text[i] == ':')
			host = i;
	}
	return is_name(text, host) && is_port(text + host, length - host);
}

/* The end of user and password before the host, NULL if there are none */
static const char *
find_at(const char *authority, size_t length)
{
	return memchr(authority, '@', length);
}

UrlProblem
url_check(const char *url, const char *const *schemes)
{
	const char *authority = strstr(url, "://");
	const char *at;
	size_t		length;
	bool		known = false;
	bool		password = false;

	for (const unsigned char *c = (const unsigned char *) url; *c != '\0'; c++)
	{
		if (*c <= ' ' || *c == 0x7f)
			return URL_MALFORMED;
	}
	if (authority == NULL || authority == url)
		return URL_MALFORMED;
	for (const char *c = url; c < authority; c++)
	{
		if (c == url ? !is_alnum(*c) || is_digit(*c) :
			!is_alnum(*c) && strchr("+-.", *c) == NULL)
			return URL_MALFORMED;
	}
	for (int i = 0; schemes[i] != NULL && !known; i++)
		known = strlen(schemes[i]) == (size_t) (authority - url) && starts_with(url, schemes[i]);
	if (!known)
		return URL_WRONG_SCHEME;
	authority += 3;
	length = strcspn(authority, "/?#");
	at = find_at(authority, length);
	if (at != NULL)
	{
		password = memchr(authority, ':', (size_t) (at - authority)) != NULL;
		length -= (size_t) (at + 1 - authority);
		authority = at + 1;
	}
	if (!is_host_and_port(authority, length))
		return URL_MALFORMED;
	return password ? URL_HAS_PASSWORD : at != NULL ? URL_HAS_USER : URL_GOOD;
}

static int
hex_digit(char c)
{
	return is_digit(c) ? c - '0' : lower(c) >= 'a' && lower(c) <= 'f' ? lower(c) - 'a' + 10 : -1;
}

bool
url_take_user(const char *url, void *(*allocate) (size_t), const char **bare, const char **user)
{
	const char *start = strstr(url, "://");
	const char *at;
	char	   *out;
	char	   *decoded;

	if (start == NULL)
		return false;
	start += 3;
	at = find_at(start, strcspn(start, "/?#"));
	if (at == NULL)
		return false;
	*bare = out = allocate(strlen(url) + 1);
	memcpy(out, url, (size_t) (start - url));
	memcpy(out + (start - url), at + 1, strlen(at + 1) + 1);
	*user = decoded = allocate((size_t) (at - start) + 1);
	for (const char *c = start; c < at && *c != ':'; c++)
	{
		if (*c == '%' && hex_digit(c[1]) >= 0 && hex_digit(c[2]) >= 0)
		{
			*decoded++ = (char) (hex_digit(c[1]) << 4 | hex_digit(c[2]));
			c += 2;
		}
		else
			*decoded++ = *c;
	}
	*decoded = '\0';
	return true;
}

/* How many characters of a path are a separator of segments; 0: it is none */
static int
separator(const char *path)
{
	if (*path == '/' || *path == '\\')
		return 1;
	return starts_with(path, "%2f") || starts_with(path, "%5c") ? 3 : 0;
}

bool
url_path_climbs(const char *path)
{
	while (*path != '\0' && *path != '?' && *path != '#')
	{
		int			dots = 0;

		while (*path == '.' || starts_with(path, "%2e"))
		{
			path += *path == '.' ? 1 : 3;
			dots++;
		}
		if ((dots == 1 || dots == 2) &&
			(separator(path) > 0 || starts_with(path, "%3b") ||
			 strchr(";?#", *path) != NULL))
			return true;
		while (*path != '\0' && *path != '?' && *path != '#' && separator(path) == 0)
			path++;
		path += separator(path);
	}
	return false;
}
