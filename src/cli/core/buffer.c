/*
 * buffer.c
 *		Strings that grow, and memory that is never NULL: out of memory ends the
 *		program.
 */
#include "core/buffer.h"

#include <stdlib.h>
#include <string.h>

static void
out_of_memory(void)
{
	fputs("defer: out of memory\n", stderr);
	exit(CLI_REFUSED);
}

void *
xmalloc(size_t size)
{
	void	   *result = malloc(size > 0 ? size : 1);

	if (result == NULL)
		out_of_memory();
	return result;
}

void *
xrealloc(void *pointer, size_t size)
{
	void	   *result = realloc(pointer, size > 0 ? size : 1);

	if (result == NULL)
		out_of_memory();
	return result;
}

char *
xstrdup(const char *string)
{
	size_t		size = strlen(string) + 1;

	return memcpy(xmalloc(size), string, size);
}

/* Make room for more bytes and the NUL */
static void
buffer_reserve(Buffer *buffer, size_t more)
{
	size_t		needed = buffer->len + more + 1;

	if (needed <= buffer->size)
		return;
	if (needed < more)
		out_of_memory();
	buffer->size = needed < 128 ? 128 : needed * 2;
	buffer->data = xrealloc(buffer->data, buffer->size);
	buffer->data[buffer->len] = '\0';
}

void
buffer_add_len(Buffer *buffer, const char *string, size_t len)
{
	buffer_reserve(buffer, len);
	memcpy(buffer->data + buffer->len, string, len);
	buffer->len += len;
	buffer->data[buffer->len] = '\0';
}

void
buffer_add(Buffer *buffer, const char *string)
{
	buffer_add_len(buffer, string, strlen(string));
}

void
buffer_char(Buffer *buffer, char c)
{
	buffer_add_len(buffer, &c, 1);
}

void
buffer_repeat(Buffer *buffer, const char *string, int times)
{
	while (times-- > 0)
		buffer_add(buffer, string);
}

void
buffer_vprintf(Buffer *buffer, const char *format, va_list args)
{
	va_list		again;
	int			len;

	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (len < 0)
		return;
	buffer_reserve(buffer, len);
	vsnprintf(buffer->data + buffer->len, len + 1, format, args);
	buffer->len += len;
}

void
buffer_printf(Buffer *buffer, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	buffer_vprintf(buffer, format, args);
	va_end(args);
}

char *
xprintf(const char *format,...)
{
	Buffer		buffer = {0};
	va_list		args;

	buffer_add(&buffer, "");
	va_start(args, format);
	buffer_vprintf(&buffer, format, args);
	va_end(args);
	return buffer.data;
}

/* Empty a buffer, and keep its memory */
void
buffer_reset(Buffer *buffer)
{
	buffer->len = 0;
	buffer_reserve(buffer, 0);
	buffer->data[0] = '\0';
}

void
buffer_free(Buffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(*buffer));
}
