/*
 * terminal.c
 *		Standard output: whether it is a terminal, its size, its colours.
 */
#include "core/terminal.h"

#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool		terminal_is_tty = false;
bool		terminal_is_utf8 = true;

static bool colours_wanted = false;

/*
 * Look at standard output.  colours: "auto", "always" or "never"; NULL is auto.
 * See https://no-color.org for NO_COLOR.
 */
void
terminal_init(const char *colours)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	setlocale(LC_CTYPE, "");
	terminal_is_tty = isatty(STDOUT_FILENO);
	/* a pipe always gets UTF-8 */
	terminal_is_utf8 = !terminal_is_tty || strcasecmp(nl_langinfo(CODESET), "UTF-8") == 0;
	if (colours != NULL && strcmp(colours, "always") == 0)
		colours_wanted = true;
	else if (colours != NULL && strcmp(colours, "never") == 0)
		colours_wanted = false;
	else
		colours_wanted = terminal_is_tty &&
			(no_color == NULL || no_color[0] == '\0') &&
			(term == NULL || strcmp(term, "dumb") != 0);
}

/* Set columns and rows; 0 without a terminal: no limit */
void
terminal_size(int *columns, int *rows)
{
	struct winsize size;
	const char *variable = getenv("COLUMNS");
	long		columns_set = variable != NULL ? strtol(variable, NULL, 10) : 0;

	*columns = *rows = 0;
	if (!terminal_is_tty)
		return;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
	{
		*columns = size.ws_col;
		*rows = size.ws_row;
	}
	if (*columns <= 0)
		*columns = columns_set > 0 && columns_set <= INT_MAX ? (int) columns_set : 80;
	if (*rows <= 0)
		*rows = 24;
}

/* Return the escape sequence of a colour; "" without colours */
const char *
terminal_colour(Colour which)
{
	static const char *const codes[] = {
		[COLOUR_PLAIN] = "\033[0m",[COLOUR_BOLD] = "\033[1m",[COLOUR_DIM] = "\033[2m",
		[COLOUR_RED] = "\033[31m",[COLOUR_GREEN] = "\033[32m",[COLOUR_YELLOW] = "\033[33m",
		[COLOUR_BLUE] = "\033[34m",
	};

	return colours_wanted ? codes[which] : "";
}

/* Return the colour of a job's state, an attempt's outcome or a severity */
Colour
terminal_state_colour(const char *state)
{
	static const struct
	{
		const char *state;
		Colour		colour;
	}			colours[] = {
		{"failed", COLOUR_RED}, {"error", COLOUR_RED}, {"crashed", COLOUR_RED}, {"timed_out", COLOUR_RED},
		{"retrying", COLOUR_YELLOW}, {"warning", COLOUR_YELLOW}, {"paused", COLOUR_YELLOW}, {"conflict", COLOUR_YELLOW},
		{"interrupted", COLOUR_YELLOW}, {"off", COLOUR_YELLOW},
		{"succeeded", COLOUR_GREEN}, {"ok", COLOUR_GREEN},
		{"running", COLOUR_BLUE}, {"info", COLOUR_BLUE},
		{"cancelled", COLOUR_DIM}, {"discarded", COLOUR_DIM}, {"notice", COLOUR_DIM},
	};

	for (size_t i = 0; i < lengthof(colours); i++)
	{
		if (strcmp(state, colours[i].state) == 0)
			return colours[i].colour;
	}
	return COLOUR_PLAIN;
}
