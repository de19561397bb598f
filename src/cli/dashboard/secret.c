/*
 * secret.c
 *		Tokens that cannot be guessed, and their comparison.
 */
#include "dashboard/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/report.h"

/* Fill memory with random bytes; a failure ends the program */
void
secret_bytes(void *bytes, size_t size)
{
	int			file = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	size_t		filled = 0;

	while (file >= 0 && filled < size)
	{
		ssize_t		n = read(file, (char *) bytes + filled, size - filled);

		if (n > 0)
			filled += n;
		else if (n == 0 || errno != EINTR)
			break;
	}
	if (filled < size)
	{
		report_error("could not read /dev/urandom");
		exit(CLI_REFUSED);
	}
	close(file);
}

/* Write SECRET_LEN hexadecimal digits and a NUL */
void
secret_token(char *token)
{
	unsigned char bytes[SECRET_LEN / 2];

	secret_bytes(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(token + 2 * i, 3, "%02x", bytes[i]);
}

/* Compare in a time that does not depend on where the strings differ */
bool
secret_equal(const char *a, const char *b)
{
	size_t		len = strlen(a);
	unsigned char differs = 0;

	if (strlen(b) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		differs |= (unsigned char) (a[i] ^ b[i]);
	return differs == 0;
}
