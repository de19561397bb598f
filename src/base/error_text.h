/*
 * error_text.h
 *		What errors of jobs are grouped by: base/error_text.c.
 */
#ifndef ERROR_TEXT_H
#define ERROR_TEXT_H

/*
 * Return what errors of a function have in common that are the same but for numbers,
 * names and the like: 16 hexadecimal digits.  The texts may be NULL.
 */
extern char *error_text_fingerprint(const text *function, const char *sqlstate,
									const char *message);

#endif							/* ERROR_TEXT_H */
