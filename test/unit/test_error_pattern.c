/*
 * test_error_pattern.c
 *		What messages of the same error have in common.
 */
#include "harness.h"
#include "pure/error_pattern.h"

#include <stdlib.h>
#include <string.h>

static void
pattern(const char *message, const char *expected)
{
	char		got[200];
	size_t		length = error_pattern(message, strlen(message), got, sizeof(got) - 1);

	got[length] = '\0';
	check(strcmp(got, expected) == 0, "\"%s\" is \"%s\", not \"%s\"", message, got, expected);
}

static void
test_messages(void)
{
	pattern("", "");
	pattern("division by zero", "division by zero");
	pattern("  two\n\tlines  ", "two lines");
	pattern("invoice 42 is closed", "invoice # is closed");
	pattern("invoice 4711 is closed", "invoice # is closed");
	pattern("invalid input syntax for type integer: \"abc\"", "invalid input syntax for type integer: \"*\"");
	pattern("Key (id)=(17) already exists.", "Key (id)=(#) already exists.");
	pattern("Failed to connect to localhost port 25 after 0 ms", "Failed to connect to localhost port # after # ms");
	pattern("at 2026-11-30 18:25:20.5+01, from 10.0.0.1:5432", "at # #, from #");
	pattern("user 8f14e45f-ceea-467a-9af1-abcdefabcdef is gone", "user # is gone");
	pattern("8f14e45f-ceea-467a-9af1-abcdefabcdefx", "#-ceea-#-abcdefabcdefx");
	pattern("0xdeadbeef and a1b2", "# and #");
	pattern("-5 of 1,000 (50%)", "-# of # (#%)");
	pattern("can't do it, don't know 'what'", "can't do it, don't know '*'");
	pattern("the users' 'own' name", "the users' '*' name");
	pattern("no end \"of it", "no end \"of it");
	pattern("\"a\"\"b\"", "\"*\"\"*\"");
	pattern("cut 3.", "cut #.");
	pattern("b\xc3\xbc" "cher 7", "b\xc3\xbc" "cher #");
}

/* It ends, and writes no more than there is room for, whatever it reads */
static void
test_any_bytes(void)
{
	static const char some[] = "a7 \"'`-.\n\xc3";
	uint64_t	seed = 1;

	for (int round = 0; round < 20000; round++)
	{
		size_t		length = round % 60;
		size_t		size = round % 23;
		char	   *message = malloc(length + 1);
		char	   *out = malloc(size + 1);
		size_t		written;

		for (size_t i = 0; i < length; i++)
		{
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			message[i] = some[(seed >> 33) % (sizeof(some) - 1)];
		}
		written = error_pattern(message, length, out, size);
		if (written > size || written > length * 3)
			check(false, "%zu bytes of %zu were written for %zu", written, size, length);
		free(message);
		free(out);
	}
	check(true, "any bytes");
}

void
test_error_pattern(void)
{
	test_messages();
	test_any_bytes();
}
