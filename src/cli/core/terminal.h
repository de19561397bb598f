/*
 * terminal.h
 *		Standard output: whether it is a terminal, its size, its colours.
 */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include "core/base.h"

typedef enum Colour
{
	COLOUR_PLAIN, COLOUR_BOLD, COLOUR_DIM, COLOUR_RED, COLOUR_GREEN,
	COLOUR_YELLOW, COLOUR_BLUE
} Colour;

extern bool terminal_is_tty;
extern bool terminal_is_utf8;	/* false: write ASCII only */

extern void terminal_init(const char *colours);
extern void terminal_size(int *columns, int *rows);
extern const char *terminal_colour(Colour which);	/* "" without colours */
extern Colour terminal_state_colour(const char *state);

#endif							/* CLI_TERMINAL_H */
