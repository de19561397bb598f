/*
 * fuzz_retry_after.c
 *		Fuzz target for the header Retry-After.  The input is the time, a limit
 *		and the value of the header:
 *
 *		bytes 0 to 3	now, seconds since 1970, little endian, times two
 *		bytes 4 and 5	the limit, little endian, plus one
 *		the rest		the value; it ends at the first NUL byte
 *
 * What must hold, or the program aborts:
 *		the answer is -1, or from 1 to the limit;
 *		a number is that many seconds;
 *		whatever else is read is, written anew by the C library, the same date.
 */
#define _GNU_SOURCE
#include "fuzz.h"
#include "pure/retry_after.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define HEADER	6

static const char *current_text = "";

/* The value without blanks around it, and without the name of the day */
static const char *
core_of(const char *text, char *core, size_t size)
{
	text += strspn(text, " \t");
	snprintf(core, size, "%s", text);
	while (core[0] != '\0' && strchr(" \t\r\n", core[strlen(core) - 1]) != NULL)
		core[strlen(core) - 1] = '\0';
	while (isalpha((unsigned char) *core))
		core++;
	return core;
}

/* Is that this second, in one of the forms?  "extra": its leap second */
static bool
is_date(const char *core, time_t t, bool extra)
{
	static const char *const forms[] = {", %d %b %Y %H:%M:%S GMT", ", %d-%b-%y %H:%M:%S GMT",
	" %b %e %H:%M:%S %Y", " %b %d %H:%M:%S %Y"};
	struct tm	tm;
	char		text[100];
	size_t		i;

	t -= extra;
	gmtime_r(&t, &tm);
	if (extra && tm.tm_sec != 59)
		return false;
	tm.tm_sec += extra;
	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
	{
		strftime(text, sizeof(text), forms[i], &tm);
		if (strcmp(text, core) == 0)
			return true;
	}
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char		text[256];
	char		room[256];
	const char *core;
	int64_t		now;
	int64_t		limit;
	int64_t		wait;
	size_t		digits;

	if (size < HEADER || size - HEADER >= sizeof(text))
		return 0;
	now = ((int64_t) data[0] | (int64_t) data[1] << 8 | (int64_t) data[2] << 16 |
		   (int64_t) data[3] << 24) * 2;
	limit = 1 + ((int64_t) data[4] | (int64_t) data[5] << 8);
	memcpy(text, data + HEADER, size - HEADER);
	text[size - HEADER] = '\0';
	current_text = text;

	wait = retry_after_seconds(text, now, limit);
	must(wait == -1 || (wait >= 1 && wait <= limit));
	core = core_of(text, room, sizeof(room));
	digits = strspn(core, "0123456789");
	if (digits > 0 && core == room && core[digits] == '\0')
	{
		double		number = digits < 64 ? strtod(core, NULL) : 0;	/* none is so long */

		must(wait == (number == 0 ? -1 : number < (double) limit ? (int64_t) number : limit));
	}
	else if (wait > 0 && wait < limit)
		must(is_date(core, (time_t) (now + wait), false) || is_date(core, (time_t) (now + wait), true));
	return 0;
}
