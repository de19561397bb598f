/*
 * buffer.h
 *		Strings that grow, and memory that is never NULL.
 */
#ifndef CLI_BUFFER_H
#define CLI_BUFFER_H

#include "core/base.h"

typedef struct Buffer
{
	char	   *data;			/* ends with a NUL; NULL before the first use */
	size_t		len;			/* without the NUL */
	size_t		size;			/* bytes allocated */
} Buffer;

extern void *xmalloc(size_t size);
extern void *xrealloc(void *pointer, size_t size);
extern char *xstrdup(const char *string);
extern char *xprintf(const char *format,...) CLI_PRINTF(1, 2);

extern void buffer_add(Buffer *buffer, const char *string);
extern void buffer_add_len(Buffer *buffer, const char *string, size_t len);
extern void buffer_char(Buffer *buffer, char c);
extern void buffer_repeat(Buffer *buffer, const char *string, int times);
extern void buffer_vprintf(Buffer *buffer, const char *format, va_list args) CLI_PRINTF(2, 0);
extern void buffer_printf(Buffer *buffer, const char *format,...) CLI_PRINTF(2, 3);
extern void buffer_reset(Buffer *buffer);
extern void buffer_free(Buffer *buffer);

#endif							/* CLI_BUFFER_H */
