/*
 * mail_address.c
 *		Addresses and header lines of e-mails: see pure/mail_address.h.
 *
 * Addresses are accepted that mail servers accept today: a dot-atom before the
 * @, a host name after it, ASCII.  Quoted local parts, comments and routes are
 * refused, and so is any control character: no header can be smuggled in.
 */
#include "pure/mail_address.h"

#include <stdio.h>
#include <string.h>

/* Longest line of a header with encoded words */
#define LINE_MAX_LENGTH		76

/* Longest name before an address */
#define NAME_MAX_LENGTH		200

/* Where the value begins at most, in a header of addresses */
#define NAME_COLUMN			20

/* Bytes of text in one encoded word: "=?UTF-8?B?" and "?=" around 4 for 3 */
#define WORD_BYTES			42

static bool
is_alnum(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_atom(unsigned char c)
{
	return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool
valid_local(const char *text, size_t length, const char **problem)
{
	if (length == 0 || length > 64)
	{
		*problem = "the part before the @ must have 1 to 64 characters";
		return false;
	}
	for (size_t i = 0; i < length; i++)
	{
		if (text[i] == '.')
		{
			if (i == 0 || i == length - 1 || text[i - 1] == '.')
			{
				*problem = "a dot before the @ stands alone";
				return false;
			}
		}
		else if (!is_atom((unsigned char) text[i]))
		{
			*problem = "a character before the @ is not allowed";
			return false;
		}
	}
	return true;
}

static bool
valid_domain(const char *text, size_t length, const char **problem)
{
	size_t		label = 0;

	if (length == 0)
	{
		*problem = "there is nothing after the @";
		return false;
	}
	for (size_t i = 0; i <= length; i++)
	{
		if (i == length || text[i] == '.')
		{
			if (label == 0 || label > 63 || text[i - 1] == '-' || text[i - label] == '-')
			{
				*problem = "the part after the @ is not a host name";
				return false;
			}
			label = 0;
		}
		else if (is_alnum((unsigned char) text[i]) || text[i] == '-')
			label++;
		else
		{
			*problem = "the part after the @ is not a host name (write others than ASCII letters as xn--...)";
			return false;
		}
	}
	return true;
}

static bool
contains(const char *text, size_t length, const char *characters)
{
	for (size_t i = 0; i < length; i++)
	{
		if (strchr(characters, text[i]) != NULL)
			return true;
	}
	return false;
}

/*
 * Check whether mail would go to one of several addresses that are written
 * there.  It would not if they are in quotes
 */
static bool
holds_address(const char *name, size_t length)
{
	if (length >= 2 && name[0] == '"' && name[length - 1] == '"')
		return false;
	return contains(name, length, "<>") ||
		(contains(name, length, "@") && contains(name, length, ",;"));
}

/* Where the bare address is, and the name before it (length 0: there is none) */
static bool
split(const char *text, const char **bare, size_t *bare_length, const char **name,
	  size_t *name_length, const char **problem)
{
	size_t		length = strlen(text);
	const char *open = strrchr(text, '<');

	for (size_t i = 0; i < length; i++)
	{
		if ((unsigned char) text[i] < 0x20 || text[i] == 0x7f)
		{
			*problem = "it contains a control character";
			return false;
		}
	}
	*name = text;
	*name_length = 0;
	if (open == NULL)
	{
		*bare = text;
		*bare_length = length;
		return true;
	}
	if (length == 0 || text[length - 1] != '>')
	{
		*problem = "\"<\" without \">\" at the end";
		return false;
	}
	*bare = open + 1;
	*bare_length = text + length - 1 - *bare;
	while (open > *name && open[-1] == ' ')
		open--;
	while (*name < open && **name == ' ')
		(*name)++;
	*name_length = open - *name;
	if (*name_length > NAME_MAX_LENGTH)
	{
		*problem = "the name is longer than 200 bytes";
		return false;
	}
	if (holds_address(*name, *name_length))
	{
		*problem = "there is more than one address in it";
		return false;
	}
	return true;
}

bool
mail_address_valid(const char *text, const char **problem)
{
	const char *bare,
			   *name,
			   *at;
	size_t		bare_length,
				name_length;

	if (!split(text, &bare, &bare_length, &name, &name_length, problem))
		return false;
	if (bare_length > MAIL_ADDRESS_MAX)
	{
		*problem = "it is longer than 254 characters";
		return false;
	}
	at = bare_length > 0 ? memchr(bare, '@', bare_length) : NULL;
	if (at == NULL)
	{
		*problem = "there is no @ in it";
		return false;
	}
	return valid_local(bare, at - bare, problem) &&
		valid_domain(at + 1, bare + bare_length - at - 1, problem);
}

bool
mail_address_bare(const char *text, char *buffer)
{
	const char *bare,
			   *name,
			   *problem;
	size_t		bare_length,
				name_length;

	if (!mail_address_valid(text, &problem) ||
		!split(text, &bare, &bare_length, &name, &name_length, &problem))
		return false;
	memcpy(buffer, bare, bare_length);
	buffer[bare_length] = '\0';
	return true;
}

/* ------------------------------------------------------------------------
 * Header lines
 * ------------------------------------------------------------------------ */

typedef struct Line
{
	char	   *buffer;
	size_t		size;
	size_t		length;
	bool		full;
} Line;

static void
put(Line *line, const char *text, size_t length)
{
	if (line->full || length >= line->size - line->length)
	{
		line->full = true;
		return;
	}
	memcpy(line->buffer + line->length, text, length);
	line->length += length;
	line->buffer[line->length] = '\0';
}

/*
 * Not pg_b64_encode(): the files of pure/ are built without the server, its types
 * differ between versions, and its length would have to be known in advance.
 */
static void
put_base64(Line *line, const unsigned char *bytes, size_t length)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < length; i += 3)
	{
		unsigned int group = bytes[i] << 16;
		char		out[4];

		if (i + 1 < length)
			group |= bytes[i + 1] << 8;
		if (i + 2 < length)
			group |= bytes[i + 2];
		out[0] = digits[group >> 18];
		out[1] = digits[(group >> 12) & 63];
		out[2] = i + 1 < length ? digits[(group >> 6) & 63] : '=';
		out[3] = i + 2 < length ? digits[group & 63] : '=';
		put(line, out, 4);
	}
}

/* Encoded words, one a line; a character is never split */
static void
put_encoded(Line *line, const char *text, size_t length, size_t column)
{
	size_t		room = column + 12 + 4 < LINE_MAX_LENGTH
		? (LINE_MAX_LENGTH - column - 12) / 4 * 3 : 0;
	size_t		begin = 0;

	if (room > WORD_BYTES)
		room = WORD_BYTES;
	while (begin < length)
	{
		size_t		end = begin + room < length ? begin + room : length;

		while (end > begin && end < length && ((unsigned char) text[end] & 0xc0) == 0x80)
			end--;
		if (end == begin && room == WORD_BYTES)
			end = begin + room < length ? begin + room : length;	/* not UTF-8 */
		if (end > begin)
		{
			put(line, "=?UTF-8?B?", 10);
			put_base64(line, (const unsigned char *) text + begin, end - begin);
			put(line, "?=", 2);
		}
		if (end < length)
			put(line, "\r\n ", 3);
		begin = end;
		room = WORD_BYTES;
	}
}

static bool
is_plain(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		if ((unsigned char) text[i] < 0x20 || (unsigned char) text[i] > 0x7e)
			return false;
	}
	/* what looks like an encoded word must not be taken for one */
	return strstr(text, "=?") == NULL;
}

/*
 * Copy the contents of "..."; "out" has room for as much as there is.  Returns
 * the length
 */
static size_t
unquote(const char *name, size_t length, char *out)
{
	size_t		n = 0;

	if (length >= 2 && name[0] == '"' && name[length - 1] == '"')
	{
		size_t		i = 1;

		while (i < length - 1 && name[i] != '"')
		{
			if (name[i] == '\\' && i + 1 < length - 1)
				i++;
			out[n++] = name[i++];
		}
		if (i == length - 1)
			return n;
	}
	/* it is not, or not only */
	memcpy(out, name, length);
	return length;
}

static bool
line_done(const Line *line)
{
	if (line->full)
		line->buffer[0] = '\0';
	return !line->full;
}

bool
mail_text_header(const char *text, size_t column, char *buffer, size_t size)
{
	Line		line = {buffer, size, 0, false};
	size_t		length = strlen(text);

	buffer[0] = '\0';
	if (is_plain(text, length) && length + column <= 900)
		put(&line, text, length);
	else
		put_encoded(&line, text, length, column);
	return line_done(&line);
}

bool
mail_address_header(const char *text, char *buffer, size_t size)
{
	Line		line = {buffer, size, 0, false};
	const char *bare,
			   *name,
			   *problem;
	size_t		bare_length,
				name_length;
	char		plain[NAME_MAX_LENGTH + 1];

	buffer[0] = '\0';
	if (!mail_address_valid(text, &problem) ||
		!split(text, &bare, &bare_length, &name, &name_length, &problem))
		return false;
	name_length = unquote(name, name_length, plain);
	plain[name_length] = '\0';
	if (name_length > 0 && is_plain(plain, name_length))
	{
		put(&line, "\"", 1);
		for (size_t i = 0; i < name_length; i++)
		{
			if (plain[i] == '"' || plain[i] == '\\')
				put(&line, "\\", 1);
			put(&line, plain + i, 1);
		}
		put(&line, "\" ", 2);
	}
	else if (name_length > 0)
	{
		put_encoded(&line, plain, name_length, NAME_COLUMN);
		put(&line, "\r\n ", 3); /* a line with an encoded word is a short one */
	}
	put(&line, "<", 1);
	put(&line, bare, bare_length);
	put(&line, ">", 1);
	return line_done(&line);
}
