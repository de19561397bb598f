/*
 * report.c
 *		Messages on standard error, and the end of the output.
 */
#include "core/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/buffer.h"
#include "core/text.h"

bool		report_quiet = false;

static const char *command_name = NULL; /* NULL: none chosen yet */

/* Name the command whose help usage errors point at */
void
report_set_command(const char *name)
{
	command_name = name;
}

/* Write "defer: " and a message, made harmless: arguments may be in it */
static void
CLI_PRINTF(1, 0)
write_error(const char *format, va_list args)
{
	Buffer		text = {0};
	Buffer		out = {0};

	buffer_add(&text, "");
	buffer_add(&out, "defer: ");
	buffer_vprintf(&text, format, args);
	text_escape(&out, text.data, TEXT_BLOCK);
	fflush(stdout);
	fprintf(stderr, "%s\n", out.data);
	buffer_free(&text);
	buffer_free(&out);
}

/* Write an error message; the caller decides how the program goes on */
void
report_error(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	write_error(format, args);
	va_end(args);
}

/* Report an invalid command line, and end the program */
void
report_usage_error(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	write_error(format, args);
	va_end(args);
	fprintf(stderr, "Try \"defer %s%s--help\".\n",
			command_name != NULL ? command_name : "", command_name != NULL ? " " : "");
	exit(CLI_USAGE);
}

/* End the program with an error if standard output could not be written */
void
report_finish_output(void)
{
	if (fflush(stdout) != 0 || ferror(stdout))
	{
		fprintf(stderr, "defer: could not write: %s\n", strerror(errno));
		exit(CLI_REFUSED);
	}
}
