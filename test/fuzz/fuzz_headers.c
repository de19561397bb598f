/*
 * fuzz_headers.c
 *		Fuzz target for headers of HTTP.  The input is a text, which ends at the first
 *		NUL byte: once the head of an answer, and once a header of a request, its name
 *		up to the first colon and its value behind it.
 *
 * What must hold, or the program aborts:
 *		what is read of an answer is what a regular expression finds, line by line;
 *		a header that a request may have is read back as one header, as it was.
 */
#include "fuzz.h"
#include "pure/http_headers.h"

#include <regex.h>
#include <string.h>
#include <strings.h>

#define ROOM	2048

static const char *current_text = "";

/* Groups: the name, the value without blanks around it (if there is any) */
static const regex_t *
header_line(void)
{
	static regex_t compiled;
	static int	ready;

	if (!ready)
	{
		must(regcomp(&compiled, "^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*[^ \t])?[ \t]*$",
					 REG_EXTENDED) == 0);
		ready = 1;
	}
	return &compiled;
}

static void
check_answer(const char *text)
{
	char		line[ROOM];
	const char *position = text;
	const char *start = text;
	HttpHeader	header;

	while (*start != '\0')
	{
		size_t		length = strcspn(start, "\r\n");
		regmatch_t	group[3];

		memcpy(line, start, length);
		line[length] = '\0';
		if (regexec(header_line(), line, 3, group, 0) == 0)
		{
			must(http_next_header(&position, &header));
			must(header.name == start && header.name_length == (size_t) group[1].rm_eo);
			must(header.value_length == (size_t) (group[2].rm_eo - group[2].rm_so));
			must(header.value_length == 0 || header.value == start + group[2].rm_so);
		}
		start += length;
		start += *start != '\0';
	}
	must(!http_next_header(&position, &header) && *position == '\0');
}

static void
check_request(const char *name, const char *value)
{
	static const char *const own[] = {"host", "content-length", "transfer-encoding",
	"connection", "expect", "te", "trailer", "upgrade"};
	char		line[ROOM + 4];
	const char *position = line;
	HttpHeader	header;
	HeaderCheck verdict = http_check_header(name, value);
	size_t		i;

	snprintf(line, sizeof(line), "%s:", name);
	must((regexec(header_line(), line, 0, NULL, 0) != 0) == (verdict == HEADER_BAD_NAME));
	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		must(strcasecmp(name, own[i]) != 0 || verdict == HEADER_OWN);
	if (verdict != HEADER_GOOD)
		return;
	snprintf(line, sizeof(line), "%s: %s\r\n", name, value);
	must(http_next_header(&position, &header));
	must(header.name == line && header.name_length == strlen(name));
	must(strspn(value, " \t") == strlen(value) ? header.value_length == 0 :
		 header.value == line + strlen(name) + 2 + strspn(value, " \t"));
	must(strspn(header.value + header.value_length, " \t\r\n") ==
		 strlen(header.value + header.value_length));
	must(*position == '\0' && !http_next_header(&position, &header));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char		text[ROOM];
	char	   *colon;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	current_text = text;

	check_answer(text);
	colon = strchr(text, ':');
	if (colon != NULL)
	{
		*colon = '\0';
		check_request(text, colon + 1);
	}
	else
		check_request(text, "");
	return 0;
}
