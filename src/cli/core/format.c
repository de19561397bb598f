/*
 * format.c
 *		Numbers and times for people.
 */
#include "core/format.h"

#include <math.h>
#include <string.h>

/* Append a duration in seconds with two or three significant digits */
void
format_seconds(Buffer *out, double seconds)
{
	double		s = fabs(seconds);

	if (seconds < 0)
		buffer_char(out, '-');
	if (s < 0.0009995)
		buffer_printf(out, "%.2g ms", s * 1000);
	else if (s < 0.9995)
		buffer_printf(out, "%.*f ms", s < 0.00995 ? 1 : 0, s * 1000);
	else if (s < 9.95)
		buffer_printf(out, "%.1f s", s);
	else if (s < 119.5)
		buffer_printf(out, "%.0f s", s);
	else if (s < 7200)
		buffer_printf(out, "%d min %02d s", (int) (s + 0.5) / 60, (int) (s + 0.5) % 60);
	else if (s < 2 * 86400)
		buffer_printf(out, "%d h %02d min", (int) (s / 3600), (int) fmod(s / 60, 60));
	else
		buffer_printf(out, "%.0f d %02d h", floor(s / 86400), (int) fmod(s / 3600, 24));
}

/* Append 1234567 as 1,234,567; a fraction below 10 with one decimal */
void
format_count(Buffer *out, double count)
{
	char		digits[64];
	size_t		len;

	if (count < 9.95 && count != floor(count))
	{
		buffer_printf(out, "%.1f", count);
		return;
	}
	len = snprintf(digits, sizeof(digits), "%.0f", count);
	for (size_t i = 0; i < len; i++)
	{
		buffer_char(out, digits[i]);
		if ((len - i) % 3 == 1 && i + 1 < len && digits[i] != '-')
			buffer_char(out, ',');
	}
}

/*
 * Append a timestamptz of the server (DateStyle ISO) to the second, without
 * the day if it is today ("2026-11-24"; NULL: always with the day).
 */
void
format_time(Buffer *out, const char *timestamp, const char *today)
{
	size_t		day = strcspn(timestamp, " ");
	size_t		len = strcspn(timestamp, "+.");

	if (timestamp[day] == '\0')
		buffer_add(out, timestamp); /* infinity */
	else
	{
		const char *zone = strpbrk(timestamp + day, "+-");

		if (zone != NULL && (size_t) (zone - timestamp) < len)
			len = zone - timestamp;

		if (today != NULL && strlen(today) == day && strncmp(timestamp, today, day) == 0)
			buffer_add_len(out, timestamp + day + 1, len - day - 1);
		else
			buffer_add_len(out, timestamp, len);
	}
}

/* Append a timestamptz to the millisecond, always with the day */
void
format_time_exact(Buffer *out, const char *timestamp)
{
	size_t		from = out->len;
	const char *fraction = strchr(timestamp, '.');

	format_time(out, timestamp, NULL);
	if (strchr(timestamp, ' ') == NULL || out->len == from)
		return;
	buffer_char(out, '.');
	for (int i = 0; i < 3; i++)
	{
		bool		digit = fraction != NULL && fraction[1] >= '0' && fraction[1] <= '9';

		buffer_char(out, digit ? *++fraction : '0');
		if (!digit)
			fraction = NULL;
	}
}

/* Append a timestamptz as RFC 3339 has it: 2026-11-24T22:10:21.5+01:00 */
void
format_iso(Buffer *out, const char *timestamp)
{
	const char *space = strchr(timestamp, ' ');
	const char *zone;

	if (space == NULL)
	{
		buffer_add(out, timestamp);
		return;
	}
	buffer_add_len(out, timestamp, space - timestamp);
	buffer_char(out, 'T');
	zone = strpbrk(space, "+-");
	buffer_add(out, space + 1);
	if (zone != NULL && strlen(zone) == 3)
		buffer_add(out, ":00");
}
