/*
 * fuzz_mail_address.c
 *		Fuzz target for addresses and header lines of e-mails.  The input is a
 *		column and a text:
 *
 *		byte 0			the column in which the header's value begins, up to 79
 *		byte 1			a size of buffer that may be too small
 *		the rest		the text; it ends at the first NUL byte
 *
 * What must hold, or the program aborts:
 *		lines are printable ASCII, go on only after a space, and are short;
 *		a mail program reads what the text was (if that is UTF-8);
 *		an address that is taken has no control character, and goes to the
 *		server as it stands in the header;
 *		nothing is written beyond a buffer, or left in one that is too small.
 */
#include "fuzz.h"
#include "pure/mail_address.h"
#include "mail_reader.h"

#include <stdbool.h>
#include <string.h>

#define HEADER	2
#define ROOM	16384

static const char *current_text = "";

static void
check_text(const char *text, size_t column)
{
	static char value[ROOM];
	static char read[ROOM];

	must(mail_text_header(text, column, value, sizeof(value)));
	must(mail_lines_problem(value, column) == NULL);
	if (mail_is_utf8(text, strlen(text)))
	{
		must(mail_read_text(value, read, sizeof(read)) == NULL);
		must(strcmp(read, text) == 0);
	}
}

static void
check_address(const char *text)
{
	static char value[ROOM];
	static char name[ROOM];
	static char address[ROOM];
	char		bare[MAIL_ADDRESS_MAX + 1];
	const char *problem = NULL;
	bool		valid = mail_address_valid(text, &problem);

	must(mail_address_bare(text, bare) == valid);
	must(mail_address_header(text, value, sizeof(value)) == valid);
	if (!valid)
	{
		must(problem != NULL && problem[0] != '\0' && value[0] == '\0');
		return;
	}
	must(strpbrk(text, "\r\n\t") == NULL);
	must(strchr(bare, '@') != NULL && strpbrk(bare, " <>,;:\"()[]\\") == NULL);
	must(strstr(text, bare) != NULL);
	must(mail_lines_problem(value, 20) == NULL);
	if (mail_is_utf8(text, strlen(text)))
	{
		must(mail_read_address(value, name, address, sizeof(name)) == NULL);
		must(strcmp(address, bare) == 0);
		must(name[0] == '"' || name[0] == '\\' || strstr(text, name) != NULL ||
			 strchr(text, '\\') != NULL);
	}
}

/* In a block of its own, so that the sanitizer sees a byte beyond it */
static void
check_small(const char *text, size_t column, size_t room)
{
	char	   *value = malloc(room);

	if (value == NULL)
		return;
	if (mail_text_header(text, column, value, room))
		must(strlen(value) < room);
	else
		must(value[0] == '\0');
	if (mail_address_header(text, value, room))
		must(strlen(value) < room);
	else
		must(value[0] == '\0');
	free(value);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char		text[2048];

	if (size < HEADER || size - HEADER >= sizeof(text))
		return 0;
	memcpy(text, data + HEADER, size - HEADER);
	text[size - HEADER] = '\0';
	current_text = text;

	check_text(text, data[0] % 80);
	check_address(text);
	check_small(text, data[0] % 80, (size_t) data[1] + 1);
	return 0;
}
