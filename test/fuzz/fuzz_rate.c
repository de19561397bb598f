/*
 * fuzz_rate.c
 *		Fuzz target for rates.  The input is a text, which ends at the first NUL byte.
 *
 * What must hold, or the program aborts:
 *		what cannot be read has a reason, of one line;
 *		a rate that can be read has an interval that is not too small for its period, nor
 *		larger than that, and its text without spaces means the same.
 */
#include "fuzz.h"
#include "pure/rate.h"

#include <string.h>

static const char *current_text = "";

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char		text[1024];
	char		bare[1024];
	char		problem[100] = "";
	int64_t		interval;
	int64_t		again;
	char	   *to = bare;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	current_text = text;
	if (!rate_parse(text, &interval, problem, sizeof(problem)))
	{
		must(problem[0] != '\0' && strchr(problem, '\n') == NULL);
		return 0;
	}
	must(interval >= 0 && interval <= RATE_PERIOD_MAX);
	must((interval == 0) == (strcmp(text, "none") == 0));
	for (const char *from = text; *from != '\0'; from++)
	{
		if (*from != ' ' && *from != '\t')
			*to++ = *from;
	}
	*to = '\0';
	must(rate_parse(bare, &again, problem, sizeof(problem)) && again == interval);
	return 0;
}
