/*
 * error_pattern.h
 *		What messages of the same error have in common.  Pure: no server in it.
 */
#ifndef ERROR_PATTERN_H
#define ERROR_PATTERN_H

#include <stddef.h>

/*
 * Write a message without what differs from one job to the next: "#" in place of a
 * number, a time, an address, a UUID or another word with a digit in it, and "*" in
 * place of what stands in quotation marks; white space becomes one space.  Writes up to
 * "size" bytes without a terminating zero, and returns how many.  A message of any
 * encoding that has ASCII bytes for ASCII characters only; the last character may be cut.
 */
extern size_t error_pattern(const char *message, size_t length, char *pattern, size_t size);

#endif							/* ERROR_PATTERN_H */
