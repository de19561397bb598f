/*
 * mail_address.h
 *		Addresses and header lines of e-mails.  Pure: no server in it.
 */
#ifndef MAIL_ADDRESS_H
#define MAIL_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

/* Longest address without the name before it (RFC 5321) */
#define MAIL_ADDRESS_MAX	254

/*
 * name@example.com, or Some Name <name@example.com>, in UTF-8 and on one line.
 * False: it is not, and *problem says why.
 */
extern bool mail_address_valid(const char *text, const char **problem);

/* The part that goes to the server; "buffer" has MAIL_ADDRESS_MAX + 1 bytes */
extern bool mail_address_bare(const char *text, char *buffer);

/*
 * As it stands in a header, "" if there is no room; so is text.  Names and text
 * that are not plain ASCII become encoded words (RFC 2047); "column" is where
 * the value begins in its line.
 */
extern bool mail_address_header(const char *text, char *buffer, size_t size);
extern bool mail_text_header(const char *text, size_t column, char *buffer, size_t size);

#endif							/* MAIL_ADDRESS_H */
