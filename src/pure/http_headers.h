/*
 * http_headers.h
 *		Headers of HTTP: which a request may have, and those of an answer.  Pure: no
 *		server in it.
 */
#ifndef HTTP_HEADERS_H
#define HTTP_HEADERS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum HeaderCheck
{
	HEADER_GOOD,
	HEADER_BAD_NAME,			/* not the name of a header at all */
	HEADER_OWN,					/* follows from the request, or is libcurl's */
	HEADER_BAD_VALUE			/* has control characters */
} HeaderCheck;

/* Check whether a user may set this header of a request */
extern HeaderCheck http_check_header(const char *name, const char *value);

/* A header of an answer, in the text that was read; both may have any bytes but line ends */
typedef struct HttpHeader
{
	const char *name;			/* a token, in whatever case */
	size_t		name_length;
	const char *value;			/* without the blanks around it */
	size_t		value_length;
} HttpHeader;

/*
 * The next header of an answer from *position on, which then is behind its line;
 * false: there is none left.  Lines that are none are passed over: the status, junk,
 * and what goes on from the line before, as headers no longer may.
 */
extern bool http_next_header(const char **position, HttpHeader *header);

/* Compare the name of a header; "name" in lower case */
extern bool http_header_is(const HttpHeader *header, const char *name);

#endif							/* HTTP_HEADERS_H */
