/*
 * text.c
 *		Text of unknown origin.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "base/text.h"

/*
 * Copy a text, with a question mark for each byte that is not valid in the
 * database's encoding.  An error message of libcurl or of an extension may quote
 * bytes of another encoding, or half of a character: in a table they would make
 * a dump that cannot be restored.
 */
char *
text_valid(const char *text)
{
	char	   *copy = pstrdup(text);
	char	   *at = copy;
	int			left = strlen(copy);

	for (;;)
	{
		int			good = pg_encoding_verifymbstr(GetDatabaseEncoding(), at, left);

		at += good;
		left -= good;
		if (left == 0)
			return copy;
		*at++ = '?';
		left--;
	}
}

/*
 * Copy a text as text_valid() does, but no more of it than ERROR_TEXT_MAX
 * bytes; a text that is cut says so, and how long it was.
 */
char *
text_valid_cut(const char *text)
{
	const size_t length = strlen(text);
	char	   *start;

	if (length <= ERROR_TEXT_MAX)
		return text_valid(text);
	start = pnstrdup(text, ERROR_TEXT_MAX);
	start[pg_mbcliplen(start, ERROR_TEXT_MAX, ERROR_TEXT_MAX - 1)] = '\0';
	return psprintf("%s... (cut, of %zu bytes)", text_valid(start), length);
}
