/*
 * error_text.c
 *		What errors of jobs are grouped by: defer.error_pattern() and
 *		defer.error_fingerprint().
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "base/error_text.h"
#include "pure/error_pattern.h"

/* Most of a message that counts, in bytes of its pattern */
#define PATTERN_MAX		300

PG_FUNCTION_INFO_V1(defer_error_pattern);
PG_FUNCTION_INFO_V1(defer_error_fingerprint);

/* Append the pattern of a message, cut where a character ends */
static void
append_pattern(StringInfo buffer, const char *message)
{
	char		pattern[PATTERN_MAX];
	size_t		length = error_pattern(message, strlen(message), pattern, sizeof(pattern));

	appendBinaryStringInfo(buffer, pattern, pg_mbcliplen(pattern, (int) length, (int) length));
}

char *
error_text_fingerprint(const text *function, const char *sqlstate, const char *message)
{
	StringInfoData all;

	initStringInfo(&all);
	if (function != NULL)
		appendBinaryStringInfo(&all, VARDATA_ANY(function), VARSIZE_ANY_EXHDR(function));
	appendStringInfoChar(&all, '\0');
	if (sqlstate != NULL)
		appendStringInfoString(&all, sqlstate);
	appendStringInfoChar(&all, '\0');
	if (message != NULL)
		append_pattern(&all, message);
	return psprintf("%016llx", (unsigned long long)
					hash_bytes_extended((const unsigned char *) all.data, all.len, 0));
}

/* defer.error_pattern(error) */
Datum
defer_error_pattern(PG_FUNCTION_ARGS)
{
	StringInfoData pattern;

	initStringInfo(&pattern);
	append_pattern(&pattern, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(pattern.data, pattern.len));
}

/* defer.error_fingerprint(function, sqlstate, error) */
Datum
defer_error_fingerprint(PG_FUNCTION_ARGS)
{
	text	   *function = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0);
	char	   *texts[3] = {NULL, NULL, NULL};

	for (int i = 1; i < 3; i++)
	{
		if (!PG_ARGISNULL(i))
			texts[i] = text_to_cstring(PG_GETARG_TEXT_PP(i));
	}
	PG_RETURN_TEXT_P(cstring_to_text(error_text_fingerprint(function, texts[1], texts[2])));
}
