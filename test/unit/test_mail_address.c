/*
 * test_mail_address.c
 *		Addresses and header lines of e-mails.
 */
#include "harness.h"
#include "pure/mail_address.h"
#include "mail_reader.h"

#include <stdio.h>
#include <string.h>

#define A10	"aaaaaaaaaa"
#define A60	A10 A10 A10 A10 A10 A10
#define A63	A60 "aaa"
#define A64	A60 "aaaa"

/* Text with its address, the part that goes to the server, and the name */
static void
expect(const char *text, const char *bare, const char *name)
{
	const char *problem = "?";
	char		got[MAIL_ADDRESS_MAX + 1];
	char		value[4096];
	char		read_name[1024];
	char		read_address[1024];

	if (!check(mail_address_valid(text, &problem), "\"%s\": %s", text, problem))
		return;
	check(mail_address_bare(text, got) && strcmp(got, bare) == 0, "\"%s\": %s", text, got);
	check(mail_address_header(text, value, sizeof(value)), "\"%s\" has no header", text);
	problem = mail_lines_problem(value, 20);
	check(problem == NULL, "\"%s\": %s: \"%s\"", text, problem, value);
	problem = mail_read_address(value, read_name, read_address, sizeof(read_name));
	check(problem == NULL, "\"%s\": %s: \"%s\"", text, problem, value);
	check(strcmp(read_address, bare) == 0 && strcmp(read_name, name) == 0,
		  "\"%s\": \"%s\" is name \"%s\", address \"%s\"", text, value, read_name, read_address);
}

static void
expect_invalid(const char *text)
{
	const char *problem = NULL;
	char		bare[MAIL_ADDRESS_MAX + 1];
	char		value[4096];

	check(!mail_address_valid(text, &problem), "\"%s\" is taken", text);
	check(problem != NULL && problem[0] != '\0', "\"%s\": no reason", text);
	check(!mail_address_bare(text, bare), "\"%s\" has an address", text);
	check(!mail_address_header(text, value, sizeof(value)) && value[0] == '\0',
		  "\"%s\" has a header", text);
}

static void
test_addresses(void)
{
	static const char *const valid[] = {
		"a@b", "a@b.c", "name@example.com", "first.last@example.co.uk", "x+tag@example.com",
		"a!#$%&'*+-/=?^_`{|}~b@example.com", "1@2.example", "a@1-2.example", "a@xn--exmple-cua.com",
		A64 "@example.com", "a@" A63 ".com", "=?x?=@example.com",
		A64 "@" A63 "." A63 "." A60 "a",
	};
	static const char *const invalid[] = {
		"", " ", "@", "a", "a@", "@b", "a@b@c", "a b@c", " a@b", "a@b ", "a@ b", "a @b", ".a@b", "a.@b",
		"a..b@c", "a@.b", "a@b.", "a@b..c", "a@-b", "a@b-", "a@b-.c", "a@b.-c", "a@b_c", "a@[127.0.0.1]",
		"\"a b\"@c", "\"a\"@c", "a,b@c", "a;b@c", "a:b@c", "a(x)@b", "a@b(x)", "a\\@b", "<a@b>,<c@d>",
		"a@b, c@d", "a@b,c@d", "a@b c@d", "<a@b", "a@b>", "<>", "<a@b>x", "<a@b> ", "x <a@b", "x a@b",
		"x <>", "x <a>", "x <a@b> y", "x <<a@b>>", "a@ex\xc3\xa4mple.com", "\xc3\xa4@example.com",
		"a@b\xef\xbc\x8e" "c", A64 "a@example.com", "a@" A63 "a.com",
		A64 "@" A63 "." A63 "." A60 "aa", "x <@a,@b:c@d>",
	};
	size_t		i;

	for (i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
	{
		char		text[1024];

		expect(valid[i], valid[i], "");
		snprintf(text, sizeof(text), "<%s>", valid[i]);
		expect(text, valid[i], "");
		snprintf(text, sizeof(text), "Some Name <%s>", valid[i]);
		expect(text, valid[i], "Some Name");
		snprintf(text, sizeof(text), "S\xc3\xb6me N\xc3\xa4me <%s>", valid[i]);
		expect(text, valid[i], "S\xc3\xb6me N\xc3\xa4me");
	}
	for (i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
		expect_invalid(invalid[i]);
}

static void
test_names(void)
{
	char		text[1024];
	char		name[1024];
	int			i;

	expect("Shop <a@b>", "a@b", "Shop");
	expect("Shop<a@b>", "a@b", "Shop");
	expect("  Shop   <a@b>", "a@b", "Shop");
	expect("\"Shop\" <a@b>", "a@b", "Shop");
	expect("\"Shop, Inc.\" <a@b>", "a@b", "Shop, Inc.");
	expect("Shop, Inc. <a@b>", "a@b", "Shop, Inc.");
	expect("\"say \\\"hello\\\"\" <a@b>", "a@b", "say \"hello\"");
	expect("\"back\\\\slash\" <a@b>", "a@b", "back\\slash");
	expect("\"one\" and \"two\" <a@b>", "a@b", "\"one\" and \"two\"");
	expect("say \"hello\" <a@b>", "a@b", "say \"hello\"");
	expect("back\\slash <a@b>", "a@b", "back\\slash");
	expect("\" <a@b>", "a@b", "\"");
	expect("\"\" <a@b>", "a@b", "");
	expect("\"\\\" <a@b>", "a@b", "\\");
	expect("other@example.com <a@b>", "a@b", "other@example.com");
	expect("\"<c@d>\" <a@b>", "a@b", "<c@d>");
	expect("\"c@d, e@f\" <a@b>", "a@b", "c@d, e@f");
	/* of several only the last would get it */
	expect_invalid("<c@d> <a@b>");
	expect_invalid("c@d, <a@b>");
	expect_invalid("c@d; x <a@b>");
	expect_invalid("\"x\" <c@d>, <a@b>");
	expect("(comment) <a@b>", "a@b", "(comment)");
	/* what looks like an encoded word is encoded */
	expect("=?UTF-8?Q?x?= <a@b>", "a@b", "=?UTF-8?Q?x?=");
	expect("\xc3\x84rger & S\xc3\xb6hne <a@b>", "a@b", "\xc3\x84rger & S\xc3\xb6hne");
	expect("\"\xc3\x84rger \\\"&\\\" S\xc3\xb6hne\" <a@b>", "a@b", "\xc3\x84rger \"&\" S\xc3\xb6hne");
	expect("\xe2\x82\xac\xf0\x9f\x9b\x92 <a@b>", "a@b", "\xe2\x82\xac\xf0\x9f\x9b\x92");

	/* The longest, in characters of one to four bytes */
	for (i = 1; i <= 4; i++)
	{
		static const char *const one[] = {"", "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x9b\x92"};
		int			n = 200 / i;

		name[0] = '\0';
		while (n-- > 0)
			strcat(name, one[i]);
		snprintf(text, sizeof(text), "%s <" A64 "@" A63 "." A63 "." A60 "a>", name);
		expect(text, A64 "@" A63 "." A63 "." A60 "a", name);
		snprintf(text, sizeof(text), "%s%s%s <a@b>", name, one[i], one[i]);
		if (strlen(name) + 2 * i > 200)
			expect_invalid(text);
	}
}

/* Nothing that could begin a line of its own, anywhere */
static void
test_smuggling(void)
{
	static const char *const good[] = {"name@example.com", "Some Name <name@example.com>", "\xc3\xa4 <a@b>"};
	char		text[100];
	char		value[1024];
	size_t		i;
	size_t		at;
	int			c;

	expect_invalid("a@b\r\nBcc: c@d");
	expect_invalid("a@b\nBcc: c@d");
	expect_invalid("a@b\rBcc: c@d");
	expect_invalid("x\r\nBcc: c@d <a@b>");
	expect_invalid("\"x\r\n\" <a@b>");
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		for (at = 0; at <= strlen(good[i]); at++)
			for (c = 1; c < 0x21; c += c == 0x1f ? 0x60 : 1)
			{
				const char *problem;

				if (c > 0x1f && c != 0x7f)
					break;
				snprintf(text, sizeof(text), "%.*s%c%s", (int) at, good[i], c, good[i] + at);
				if (mail_address_valid(text, &problem))
					check(false, "character %d at %d of \"%s\"", c, (int) at, good[i]);
			}
	snprintf(text, sizeof(text), "a\x7f@b");
	expect_invalid(text);

	/* In a subject they are encoded, and decode to what they were */
	check(mail_text_header("x\r\nBcc: c@d\r\n\r\nbody", 9, value, sizeof(value)) &&
		  mail_lines_problem(value, 9) == NULL && strchr(value, ':') == NULL, "%s", value);
}

static void
expect_text(const char *text, size_t column)
{
	char		value[16384];
	char		read[4096];
	const char *problem;

	if (!check(mail_text_header(text, column, value, sizeof(value)), "\"%s\": no room", text))
		return;
	problem = mail_lines_problem(value, column);
	check(problem == NULL, "\"%s\" in column %d: %s: \"%s\"", text, (int) column, problem, value);
	problem = mail_read_text(value, read, sizeof(read));
	check(problem == NULL, "\"%s\" in column %d: %s: \"%s\"", text, (int) column, problem, value);
	check(problem != NULL || strcmp(read, text) == 0, "\"%s\" in column %d is read as \"%s\"", text,
		  (int) column, read);
}

static void
test_texts(void)
{
	static const char *const one[] = {"a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x9b\x92"};
	char		text[2000];
	char		value[4096];
	size_t		room;
	int			i;
	int			j;
	int			column;

	expect_text("", 9);
	expect_text("Your order", 9);
	expect_text("a  b", 9);
	expect_text("Gr\xc3\xbc\xc3\x9f" "e", 9);
	expect_text("\xc3\xbc  x ", 9);
	expect_text(" \xc3\xbc", 9);
	expect_text("50 % =?off?=", 9);
	expect_text("=?UTF-8?B?AAAA?=", 9);
	expect_text("a =? b", 9);
	expect_text("=", 9);
	expect_text("?=", 9);
	expect_text("tab\there", 9);
	check(mail_text_header("Your order", 9, value, sizeof(value)) && strcmp(value, "Your order") == 0,
		  "plain text is \"%s\"", value);
	check(mail_text_header("\xc3\xbc", 9, value, sizeof(value)) && strcmp(value, "=?UTF-8?B?w7w=?=") == 0,
		  "one letter is \"%s\"", value);

	/* Every column, every length, characters of every width and mixtures */
	for (column = 0; column <= 80; column++)
		for (i = 0; i < 4; i++)
		{
			text[0] = '\0';
			if (i == 0)
				strcpy(text, "\xc3\xa4");
			for (j = 0; j < 60; j++)
			{
				strcat(text, one[(i * 7 + j * (j % 3 == 0)) % 4]);
				strcat(text, one[i]);
				expect_text(text, (size_t) column);
			}
		}
	for (i = 890; i < 1200; i++)
	{
		memset(text, 'x', (size_t) i);
		text[i] = '\0';
		expect_text(text, 9);
	}

	/* No room: nothing, and never beyond the buffer */
	for (room = 1; room < 100; room++)
	{
		char		exact[100];

		memset(exact, '#', sizeof(exact));
		if (mail_text_header("\xe2\x82\xac 100, and something more to make it longer", 9, exact, room))
			check(strlen(exact) < room, "room of %d", (int) room);
		else
			check(exact[0] == '\0', "room of %d", (int) room);
		check(room == sizeof(exact) || exact[room] == '#', "beyond a room of %d", (int) room);
		memset(exact, '#', sizeof(exact));
		if (!mail_address_header("\"a name\" <name@example.com>", exact, room))
			check(exact[0] == '\0' && room <= strlen("\"a name\" <name@example.com>"), "room of %d", (int) room);
	}
}

/* What is not UTF-8 comes from no database; it must do no harm all the same */
static void
test_bytes(void)
{
	int			i;

	for (i = 0; i < 20000; i++)
	{
		char		text[300];
		char		value[4096];
		size_t		length = random_below(200);
		size_t		j;
		const char *problem;

		for (j = 0; j < length; j++)
		{
			static const char special[] = "<>\"\\@. =?";
			uint32_t	kind = random_below(4);

			if (kind == 0)
				text[j] = special[random_below(sizeof(special) - 1)];
			else
				text[j] = (char) (kind == 1 ? 1 + random_below(255) :
								  kind == 2 ? 0x80 + random_below(64) : 'a' + random_below(26));
		}
		text[length] = '\0';
		problem = mail_text_header(text, random_below(40), value, sizeof(value)) ?
			mail_lines_problem(value, 0) : "no room";
		if (problem != NULL)
			check(false, "%d: %s", i, problem);
		if (mail_address_header(text, value, sizeof(value)))
		{
			problem = mail_lines_problem(value, 20);
			if (problem != NULL)
				check(false, "%d: %s", i, problem);
		}
	}
}

void
test_mail_address(void)
{
	test_addresses();
	test_names();
	test_smuggling();
	test_texts();
	test_bytes();
}
