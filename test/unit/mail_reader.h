/*
 * mail_reader.h
 *		Reads header values of e-mails as a mail program does; strict, and
 *		independent of src/pure/mail_address.c.
 */
#ifndef MAIL_READER_H
#define MAIL_READER_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What is wrong with the lines of a header value that begins in that column,
 * NULL: nothing.  Only printable ASCII; line ends only before a space; not more
 * than 998 characters a line, and 76 where an encoded word is.
 */
extern const char *mail_lines_problem(const char *value, size_t column);

/* The text of a value, encoded words decoded; returns what is wrong, NULL: nothing */
extern const char *mail_read_text(const char *value, char *text, size_t size);

/* "name" <address>, both parts; returns what is wrong, NULL: nothing */
extern const char *mail_read_address(const char *value, char *name, char *address, size_t size);

/* Is that UTF-8? */
extern bool mail_is_utf8(const char *text, size_t length);

#endif							/* MAIL_READER_H */
