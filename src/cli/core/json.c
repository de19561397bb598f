/*
 * json.c
 *		JSON on standard output: documents that the server makes, and objects
 *		of a few strings of our own.
 *
 * The server writes valid JSON, but in a database without an encoding with bytes
 * that are not UTF-8, and with characters that a terminal obeys.  Both can
 * stand within strings only, and are escaped there.
 */
#include "core/json.h"

#include <string.h>

#include "core/text.h"

/* Append a code point as JSON escapes it */
static void
add_escaped(Buffer *out, uint32_t code)
{
	if (code >= 0x10000)
		buffer_printf(out, "\\u%04x\\u%04x", (unsigned) (0xd7c0 + (code >> 10)),
					  (unsigned) (0xdc00 + (code & 0x3ff)));
	else
		buffer_printf(out, "\\u%04x", (unsigned) code);
}

/* Append a string with its quotes; bytes that are not UTF-8 become U+FFFD */
static void
add_string(Buffer *out, const char *value)
{
	size_t		left = strlen(value);

	buffer_char(out, '"');
	while (left > 0)
	{
		uint32_t	code;
		size_t		len = text_utf8_length(value, left, &code);

		if (len == 0)
		{
			buffer_add(out, "\\ufffd");
			len = 1;
		}
		else if (code == '"' || code == '\\')
			buffer_printf(out, "\\%c", (char) code);
		else if (code == '\n')
			buffer_add(out, "\\n");
		else if (text_is_dangerous(code))
			add_escaped(out, code);
		else
			buffer_add_len(out, value, len);
		value += len;
		left -= len;
	}
	buffer_char(out, '"');
}

/* Append a member whose value is a number or a literal; NULL is null */
void
json_member_raw(Buffer *out, const char *key, const char *value)
{
	if (out->len > 0 && out->data[out->len - 1] != '{')
		buffer_add(out, ", ");
	add_string(out, key);
	buffer_printf(out, ": %s", value != NULL ? value : "null");
}

/* Append a member whose value is a string; NULL is null */
void
json_member(Buffer *out, const char *key, const char *value)
{
	Buffer		text = {0};

	if (value != NULL)
		add_string(&text, value);
	json_member_raw(out, key, text.data);
	buffer_free(&text);
}

/* Append JSON of the server; lines: line feeds between values stay */
static void
add_document(Buffer *out, const char *value, bool lines)
{
	size_t		left = strlen(value);

	while (left > 0)
	{
		uint32_t	code;
		size_t		len = text_utf8_length(value, left, &code);

		if (len == 0)
		{
			buffer_add(out, "\\ufffd");
			len = 1;
		}
		else if (code == '\n' && lines)
			buffer_char(out, '\n');
		else if (code == '\n' || code == '\t' || code == '\r')
			buffer_char(out, ' ');	/* between values only */
		else if (text_is_dangerous(code))
			add_escaped(out, code);
		else
			buffer_add_len(out, value, len);
		value += len;
		left -= len;
	}
}

static void
print(const PGresult *res, bool lines)
{
	Buffer		out = {0};

	add_document(&out, PQgetvalue(res, 0, 0), lines);
	printf("%s\n", out.data);
	buffer_free(&out);
}

/* Print the document that a statement has returned, rows of arrays on lines */
void
json_print(const PGresult *res)
{
	print(res, true);
}

/* Print the document that a statement has returned in one line */
void
json_print_line(const PGresult *res)
{
	print(res, false);
}
