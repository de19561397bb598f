/*
 * terminal.c
 *		What we write to: is it a terminal, how large is it, may it be coloured?
 */
#include "core/cli.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool		stdout_is_terminal = false;
bool		stdout_is_utf8 = true;

static bool colours_wanted = false;

/*
 * colours: "auto", "always" or "never"; NULL is auto.  See https://no-color.org
 * for NO_COLOR.
 */
void
terminal_init(const char *colours)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	setlocale(LC_CTYPE, "");
	stdout_is_terminal = isatty(STDOUT_FILENO);
	/* what is piped somewhere is UTF-8, whatever the locale here */
	stdout_is_utf8 = !stdout_is_terminal || strcasecmp(nl_langinfo(CODESET), "UTF-8") == 0;
	if (colours != NULL && strcmp(colours, "always") == 0)
		colours_wanted = true;
	else if (colours != NULL && strcmp(colours, "never") == 0)
		colours_wanted = false;
	else
		colours_wanted = stdout_is_terminal &&
			(no_color == NULL || no_color[0] == '\0') &&
			(term == NULL || strcmp(term, "dumb") != 0);
}

/* Columns and rows; where there is no terminal as many as it takes: 0 */
void
terminal_size(int *columns, int *rows)
{
	struct winsize size;
	const char *variable = getenv("COLUMNS");

	*columns = *rows = 0;
	if (!stdout_is_terminal)
		return;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
	{
		*columns = size.ws_col;
		*rows = size.ws_row;
	}
	if (*columns <= 0)
		*columns = variable != NULL && strtol(variable, NULL, 10) > 0 ? (int) strtol(variable, NULL, 10) : 80;
	if (*rows <= 0)
		*rows = 24;
}

const char *
colour(Colour which)
{
	static const char *const codes[] = {
		[PLAIN] = "\033[0m",[BOLD] = "\033[1m",[DIM] = "\033[2m",
		[RED] = "\033[31m",[GREEN] = "\033[32m",[YELLOW] = "\033[33m",
		[BLUE] = "\033[34m",[REVERSE] = "\033[7m",
	};

	return colours_wanted ? codes[which] : "";
}

/* Of the states of jobs, the outcomes of attempts, and what is found wrong */
Colour
state_colour(const char *state)
{
	static const struct
	{
		const char *state;
		Colour		colour;
	}			colours[] = {
		{"failed", RED}, {"error", RED}, {"crashed", RED}, {"timed_out", RED},
		{"retrying", YELLOW}, {"warning", YELLOW}, {"paused", YELLOW}, {"conflict", YELLOW},
		{"interrupted", YELLOW}, {"off", YELLOW},
		{"succeeded", GREEN}, {"ok", GREEN},
		{"running", BLUE}, {"info", BLUE},
		{"cancelled", DIM}, {"discarded", DIM}, {"inactive", DIM}, {"notice", DIM},
	};

	for (size_t i = 0; i < lengthof(colours); i++)
	{
		if (strcmp(state, colours[i].state) == 0)
			return colours[i].colour;
	}
	return PLAIN;
}
