/*
 * mail_reader.c
 *		See mail_reader.h.
 */
#include "mail_reader.h"

#include <stdio.h>
#include <string.h>

#define WORD_BEGIN	"=?UTF-8?B?"
#define WORD_MAX	75

const char *
mail_lines_problem(const char *value, size_t column)
{
	size_t		length = column;
	bool		has_word = false;
	const char *p = value;

	for (;; p++)
	{
		if (*p == '\0' || *p == '\r')
		{
			if (length > (has_word ? 76 : 998))
				return "a line is too long";
			if (*p == '\0')
				return NULL;
			if (p[1] != '\n' || p[2] != ' ')
				return "a line end that is not before a space";
			if (p[3] == '\0' || p[3] == '\r' || p[3] == ' ')
				return "a line that is empty, or begins with two spaces";
			length = 0;
			has_word = false;
			p++;
			continue;
		}
		if (*p < 0x20 || *p > 0x7e)
			return "a character that is not printable ASCII";
		has_word = has_word ||
			(strncmp(p, "=?", 2) == 0 && (p == value || p[-1] == ' '));
		length++;
	}
}

bool
mail_is_utf8(const char *text, size_t length)
{
	const unsigned char *p = (const unsigned char *) text;
	const unsigned char *end = p + length;

	while (p < end)
	{
		int			more = *p < 0x80 ? 0 : *p < 0xc2 ? -1 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 :
			*p < 0xf5 ? 3 : -1;
		unsigned char first = *p++;

		if (more < 0 || end - p < more)
			return false;
		if (more > 0 && ((first == 0xe0 && *p < 0xa0) || (first == 0xed && *p > 0x9f) ||
						 (first == 0xf0 && *p < 0x90) || (first == 0xf4 && *p > 0x8f)))
			return false;
		for (; more > 0; more--)
			if ((*p++ & 0xc0) != 0x80)
				return false;
	}
	return true;
}

static int
digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One encoded word at *p, which is moved behind it */
static const char *
read_word(const char **p, char *text, size_t size, size_t *n)
{
	const char *end;
	const char *at;
	unsigned int bits = 0;
	int			nbits = 0;
	int			padding = 0;
	size_t		begin = *n;

	if (strncmp(*p, WORD_BEGIN, strlen(WORD_BEGIN)) != 0)
		return "an encoded word that does not begin as it should";
	at = *p + strlen(WORD_BEGIN);
	end = strstr(at, "?=");
	if (end == NULL || end == at || (end - at) % 4 != 0)
		return "an encoded word that is not whole";
	if (end + 2 - *p > WORD_MAX)
		return "an encoded word that is too long";
	for (; at < end; at++)
	{
		if (*at == '=' && at >= end - 2)
		{
			padding++;
			continue;
		}
		if (digit_value(*at) < 0 || padding > 0)
			return "base64 that is not";
		bits = bits << 6 | (unsigned int) digit_value(*at);
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			if (*n + 1 >= size)
				return "no room";
			text[(*n)++] = (char) (bits >> nbits & 0xff);
		}
	}
	if ((bits & ((1u << nbits) - 1)) != 0 || nbits != padding * 2)
		return "base64 with a wrong end";
	if (!mail_is_utf8(text + begin, *n - begin))
		return "an encoded word that is not UTF-8 by itself";
	*p = end + 2;
	if (**p != '\0' && **p != ' ' && **p != '\r')
		return "something right after an encoded word";
	return NULL;
}

const char *
mail_read_text(const char *value, char *text, size_t size)
{
	size_t		n = 0;
	size_t		spaces = 0;
	bool		after_word = false;
	const char *p = value;
	const char *problem;

	while (*p != '\0')
	{
		if (*p == '\r')
		{
			p += 2;				/* the space after it counts, but at the beginning */
			if (n == 0)
				p++;
			continue;
		}
		if (*p == ' ')
		{
			spaces++;
			p++;
			continue;
		}
		if (strncmp(p, "=?", 2) == 0 && (p == value || p[-1] == ' '))
		{
			if (after_word)
				spaces = 0;
			after_word = true;
		}
		else
			after_word = false;
		for (; spaces > 0 && n + 1 < size; spaces--)
			text[n++] = ' ';
		if (after_word)
		{
			problem = read_word(&p, text, size, &n);
			if (problem != NULL)
				return problem;
		}
		else if (n + 1 < size)
			text[n++] = *p++;
		else
			return "no room";
	}
	for (; spaces > 0 && n + 1 < size; spaces--)
		text[n++] = ' ';
	text[n] = '\0';
	return NULL;
}

const char *
mail_read_address(const char *value, char *name, char *address, size_t size)
{
	const char *p = value;
	const char *problem;
	size_t		n = 0;

	name[0] = '\0';
	if (*p == '"')
	{
		for (p++; *p != '"'; p++)
		{
			if (*p == '\\')
				p++;
			if (*p == '\0' || *p == '\r')
				return "a name without a closing quote";
			if (n + 1 >= size)
				return "no room";
			name[n++] = *p;
		}
		name[n] = '\0';
		if (*++p != ' ')
			return "no space after a name";
		p++;
	}
	else if (*p != '<')
	{
		char		words[4096];
		const char *open = strchr(p, '<');

		if (open == NULL || open - p < 3 || open[-1] != ' ' || (size_t) (open - p) >= sizeof(words))
			return "no address after a name";
		memcpy(words, p, (size_t) (open - p));
		words[open - p] = '\0';
		while (words[0] != '\0' && strchr(" \r\n", words[strlen(words) - 1]) != NULL)
			words[strlen(words) - 1] = '\0';
		if (strncmp(words, "=?", 2) != 0)
			return "a name that is neither quoted nor encoded";
		problem = mail_read_text(words, name, size);
		if (problem != NULL)
			return problem;
		p = open;
	}
	if (*p != '<')
		return "no address";
	n = strcspn(p + 1, "<> \r\n");
	if (p[1 + n] != '>' || p[2 + n] != '\0' || n >= size)
		return "something after the address";
	memcpy(address, p + 1, n);
	address[n] = '\0';
	return NULL;
}
