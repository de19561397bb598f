/*
 * test_http_headers.c
 *		Headers of requests and of answers.
 */
#include "harness.h"
#include "pure/http_headers.h"

#include <stdio.h>
#include <string.h>

static void
allowed(const char *name, const char *value, HeaderCheck expected)
{
	HeaderCheck got = http_check_header(name, value);

	check(got == expected, "\"%s: %s\" is judged %d, not %d", name, value, got, expected);
}

static void
test_requests(void)
{
	allowed("Accept", "text/csv", HEADER_GOOD);
	allowed("x-EMPTY", "", HEADER_GOOD);
	allowed("!#$%&'*+-.^_`|~09azAZ", "\t \xc3\xa4", HEADER_GOOD);
	allowed("", "x", HEADER_BAD_NAME);
	allowed("a b", "x", HEADER_BAD_NAME);
	allowed("a:", "x", HEADER_BAD_NAME);
	allowed("a\r\nb", "x", HEADER_BAD_NAME);
	allowed("\xc3\xa4", "x", HEADER_BAD_NAME);
	allowed("Host", "x", HEADER_OWN);
	allowed("hOST", "x", HEADER_OWN);
	allowed("CONTENT-LENGTH", "1", HEADER_OWN);
	allowed("transfer-encoding", "chunked", HEADER_OWN);
	allowed("Hosts", "x", HEADER_GOOD);
	allowed("Hos", "x", HEADER_GOOD);
	allowed("a", "x\r\nb: c", HEADER_BAD_VALUE);
	allowed("a", "x\ny", HEADER_BAD_VALUE);
	allowed("a", "\x01", HEADER_BAD_VALUE);
	allowed("a", "\x7f", HEADER_BAD_VALUE);
}

/* Headers are expected as "name=value;" one after the other */
static void
answers(const char *head, const char *expected)
{
	char		got[1000] = "";
	HttpHeader	header;
	const char *position = head;

	while (http_next_header(&position, &header))
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%.*s=%.*s;",
				 (int) header.name_length, header.name, (int) header.value_length, header.value);
	check(strcmp(got, expected) == 0, "of \"%s\" is read \"%s\", not \"%s\"", head, got, expected);
}

static void
test_answers(void)
{
	answers("", "");
	answers("\r\n\r\n", "");
	answers("HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "A=b;");
	answers("HTTP/1.1 200 it: is well\r\nA: b\r\n", "A=b;");
	answers("a:b\nc: \t d e \t\r\nf:\r\ng: :h", "a=b;c=d e;f=;g=:h;");
	answers(": x\r\n:x\r\nno colon\r\nwith space: x\r\nspace : x\r\na: b", "a=b;");
	answers("a: b\r\n c: d\r\n\te: f\r\n", "a=b;");
	answers("a: \xff\x01\r\n\xc3\xa4: x", "a=\xff\x01;");
}

static void
test_names(void)
{
	HttpHeader	header;
	const char *position = "Retry-After: 1";

	check(http_next_header(&position, &header) && http_header_is(&header, "retry-after"),
		  "a name is not known in another case");
	check(!http_header_is(&header, "retry-afte") && !http_header_is(&header, "retry-after2"),
		  "a name is known by a part of it");
}

void
test_http_headers(void)
{
	test_requests();
	test_answers();
	test_names();
}
