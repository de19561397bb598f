/*
 * text.h
 *		Text of unknown origin.
 */
#ifndef DEFER_TEXT_H
#define DEFER_TEXT_H

/* Most that is kept of each text of an error, in bytes */
#define ERROR_TEXT_MAX	(64 * 1024)

extern char *text_valid(const char *text);	/* a copy, in the database's
											 * encoding */
extern char *text_valid_cut(const char *text);	/* the same of its beginning */

#endif							/* DEFER_TEXT_H */
