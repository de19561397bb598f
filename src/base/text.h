/*
 * text.h
 *		Text of unknown origin.
 */
#ifndef DEFER_TEXT_H
#define DEFER_TEXT_H

extern char *valid_text(const char *text);	/* a copy, in the database's encoding */

#endif							/* DEFER_TEXT_H */
