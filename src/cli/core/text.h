/*
 * text.h
 *		Values made harmless for a terminal, and measured.
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include "core/buffer.h"

typedef enum TextMode
{
	TEXT_LINE,					/* line feeds and tabs become \n and \t */
	TEXT_BLOCK					/* line feeds stay, tabs become blanks */
} TextMode;

extern size_t text_utf8_length(const char *string, size_t left, uint32_t *code);
extern bool text_is_dangerous(uint32_t code);
extern void text_escape(Buffer *out, const char *value, TextMode mode);
extern char *text_line(const char *value);
extern int	text_width(const char *escaped);
extern void text_cut(Buffer *out, const char *escaped, int width);
extern void text_indent(Buffer *out, const char *escaped, int indent);

#endif							/* CLI_TEXT_H */
