/*
 * error_pattern.c
 *		See error_pattern.h.
 */
#include "pure/error_pattern.h"

#include <stdbool.h>

/* The message that is read, and the pattern that is written */
typedef struct Reader
{
	const char *message;
	size_t		length;
	size_t		at;
	char	   *pattern;
	size_t		size;
	size_t		written;
} Reader;

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Letters of any language are in words */
static bool
is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
		(unsigned char) c >= 0x80;
}

static void
write_char(Reader *reader, char c)
{
	if (reader->written < reader->size)
		reader->pattern[reader->written++] = c;
}

/* Find the end of the word that begins there; *digit: it has one */
static size_t
word_end(const Reader *reader, size_t at, bool *digit)
{
	*digit = false;
	for (; at < reader->length && is_word(reader->message[at]); at++)
		*digit = *digit || is_digit(reader->message[at]);
	return at;
}

/* Return the end of a UUID that begins there; 0: none does */
static size_t
uuid_end(const Reader *reader, size_t at)
{
	static const int groups[] = {8, 4, 4, 4, 12};
	size_t		end = at;

	for (int i = 0; i < 5; i++)
	{
		if (i > 0 && (end >= reader->length || reader->message[end++] != '-'))
			return 0;
		for (int j = 0; j < groups[i]; j++)
		{
			if (end >= reader->length || !is_hex(reader->message[end++]))
				return 0;
		}
	}
	return end < reader->length && is_word(reader->message[end]) ? 0 : end;
}

/* Return the end of words with digits that a time, an address or a number has: 10.0.0.1:80 */
static size_t
number_end(const Reader *reader, size_t end)
{
	while (end + 1 < reader->length)
	{
		char		c = reader->message[end];
		size_t		next;
		bool		digit;

		if (c != '.' && c != ',' && c != ':' && c != '-' && c != '/' && c != '+')
			break;
		next = word_end(reader, end + 1, &digit);
		if (!digit)
			break;
		end = next;
	}
	return end;
}

static void
read_word(Reader *reader)
{
	bool		digit;
	size_t		end = uuid_end(reader, reader->at);

	if (end == 0)
	{
		end = word_end(reader, reader->at, &digit);
		if (!digit)
		{
			while (reader->at < end)
				write_char(reader, reader->message[reader->at++]);
			return;
		}
		end = number_end(reader, end);
	}
	write_char(reader, '#');
	reader->at = end;
}

/*
 * Return where the quotation ends that the present character begins; 0: it begins none.
 * An apostrophe within or behind a word is none.
 */
static size_t
quotation_end(const Reader *reader)
{
	const char	quote = reader->message[reader->at];

	if (quote != '"' && quote != '\'' && quote != '`')
		return 0;
	if (quote != '"' && reader->at > 0 && is_word(reader->message[reader->at - 1]))
		return 0;
	for (size_t end = reader->at + 1; end < reader->length; end++)
	{
		if (reader->message[end] == quote &&
			(quote == '"' || end + 1 == reader->length || !is_word(reader->message[end + 1])))
			return end;
	}
	return 0;
}

static void
read_space(Reader *reader)
{
	while (reader->at < reader->length && is_space(reader->message[reader->at]))
		reader->at++;
	if (reader->written > 0 && reader->at < reader->length)
		write_char(reader, ' ');
}

size_t
error_pattern(const char *message, size_t length, char *pattern, size_t size)
{
	Reader		reader = {message, length, 0, pattern, size, 0};

	while (reader.at < length && reader.written < size)
	{
		const char	c = message[reader.at];
		size_t		end;

		if (is_space(c))
			read_space(&reader);
		else if (is_word(c))
			read_word(&reader);
		else if ((end = quotation_end(&reader)) != 0)
		{
			write_char(&reader, c);
			write_char(&reader, '*');
			write_char(&reader, c);
			reader.at = end + 1;
		}
		else
		{
			write_char(&reader, c);
			reader.at++;
		}
	}
	return reader.written;
}
