/*
 * text.c
 *		Values made harmless for a terminal, and measured.
 *
 * Names, arguments and error texts are written by the roles that enqueue jobs.
 * A terminal obeys its input: escape sequences set its title, answer on its
 * input or rewrite earlier lines.  So control characters never leave this
 * program as they are, nor do characters that change the direction of text or
 * break lines.  They are shown as C and JSON write them.  A real backslash stays
 * one: this output is for people, --json is for programs.
 */
#include "core/text.h"

#include <string.h>

#include "core/terminal.h"

#include "libpq-fe.h"

/*
 * Return the length in bytes of the valid UTF-8 character at the beginning of a
 * string of "left" bytes, and its code point; 0 if it is not valid.
 */
size_t
text_utf8_length(const char *string, size_t left, uint32_t *code)
{
	const unsigned char *s = (const unsigned char *) string;
	static const uint32_t min_code[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t		len;

	if (left == 0)
		return 0;
	if (s[0] < 0x80)
	{
		*code = s[0];
		return 1;
	}
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		len = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (len > left)
		return 0;
	*code = s[0] & (0xff >> (len + 1));
	for (size_t i = 1; i < len; i++)
	{
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (s[i] & 0x3f);
	}
	if (*code < min_code[len] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff))
		return 0;
	return len;
}

/* Report whether a character must not reach a terminal */
bool
text_is_dangerous(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code <= 0x9f) ||
		code == 0x00ad ||		/* soft hyphen */
		code == 0x061c ||		/* Arabic letter mark */
		(code >= 0x200b && code <= 0x200f) ||	/* zero width, direction marks */
		(code >= 0x2028 && code <= 0x202e) ||	/* line breaks, embeddings */
		(code >= 0x2060 && code <= 0x206f) ||	/* isolates, invisible
												 * operators */
		code == 0xfeff ||		/* byte order mark */
		(code >= 0xfff9 && code <= 0xfffb) ||	/* annotations */
		(code >= 0xe0000 && code <= 0xe007f);	/* tags */
}

static void
escape_code(Buffer *out, uint32_t code)
{
	switch (code)
	{
		case '\n':
			buffer_add(out, "\\n");
			break;
		case '\t':
			buffer_add(out, "\\t");
			break;
		case '\r':
			buffer_add(out, "\\r");
			break;
		default:
			if (code < 0x80)
				buffer_printf(out, "\\x%02x", (unsigned) code);
			else if (code < 0x10000)
				buffer_printf(out, "\\u%04x", (unsigned) code);
			else
				buffer_printf(out, "\\U%08x", (unsigned) code);
	}
}

/* Append a value with its dangerous characters escaped */
void
text_escape(Buffer *out, const char *value, TextMode mode)
{
	size_t		left = strlen(value);

	while (left > 0)
	{
		uint32_t	code;
		size_t		len = text_utf8_length(value, left, &code);

		if (len == 0)
		{
			buffer_printf(out, "\\x%02x", (unsigned char) *value);
			len = 1;
		}
		else if (mode == TEXT_BLOCK && code == '\n')
			buffer_char(out, '\n');
		else if (mode == TEXT_BLOCK && code == '\t')
			buffer_add(out, "    ");
		else if (text_is_dangerous(code) || (code >= 0x80 && !terminal_is_utf8))
			escape_code(out, code);
		else
			buffer_add_len(out, value, len);
		value += len;
		left -= len;
	}
}

/* Return a value in one line, with its dangerous characters escaped; allocated */
char *
text_line(const char *value)
{
	Buffer		out = {0};

	buffer_add(&out, "");
	text_escape(&out, value, TEXT_LINE);
	return out.data;
}

/* Return the columns of a terminal that one character takes */
static int
code_width(const char *character, uint32_t code)
{
	static int	utf8 = -1;
	int			width;

	if (code < 0x80)
		return 1;
	if (utf8 < 0)
		utf8 = pg_char_to_encoding("UTF8");
	width = PQdsplen(character, utf8);
	return width < 0 ? 0 : width;
}

/* Return the width of a line that text_escape() has made */
int
text_width(const char *escaped)
{
	size_t		left = strlen(escaped);
	int			width = 0;

	while (left > 0)
	{
		uint32_t	code;
		size_t		len = text_utf8_length(escaped, left, &code);

		if (len == 0)
			break;
		width += code_width(escaped, code);
		escaped += len;
		left -= len;
	}
	return width;
}

/* Append such a line, cut to a width; "..." marks the cut */
void
text_cut(Buffer *out, const char *escaped, int width)
{
	const char *dots = terminal_is_utf8 ? "\xe2\x80\xa6" : "...";
	int			room = width - (terminal_is_utf8 ? 1 : 3);
	size_t		left = strlen(escaped);

	if (text_width(escaped) <= width)
	{
		buffer_add(out, escaped);
		return;
	}
	if (room < 0)
	{
		buffer_repeat(out, ".", width);
		return;
	}
	while (left > 0)
	{
		uint32_t	code;
		size_t		len = text_utf8_length(escaped, left, &code);
		int			columns;

		if (len == 0)
			break;
		columns = code_width(escaped, code);
		if (columns > room)
			break;
		room -= columns;
		buffer_add_len(out, escaped, len);
		escaped += len;
		left -= len;
	}
	buffer_add(out, dots);
	buffer_repeat(out, " ", room);
}

/* Append a block of lines, all but the first indented */
void
text_indent(Buffer *out, const char *escaped, int indent)
{
	for (; *escaped != '\0'; escaped++)
	{
		buffer_char(out, *escaped);
		if (*escaped == '\n' && escaped[1] != '\0')
			buffer_repeat(out, " ", indent);
	}
}
