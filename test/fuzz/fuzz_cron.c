/*
 * fuzz_cron.c
 *		Fuzz target for the cron engine.  The input is a zone, an instant and a
 *		text:
 *
 *		byte 0			which zone: 0 UTC, 1 .. a real one, the rest made up
 *		bytes 1 to 8	an instant, seconds since 1970, little endian, folded
 *						into years 0 to 10000
 *		the rest		the text; it ends at the first NUL byte
 *
 * What must hold, or the program aborts:
 *		an error lies inside of the text, its strings are as pure/cron/cron.h says;
 *		a description fits into CRON_DESCRIPTION_MAX and is cut off cleanly;
 *		previous < instant < next, and next and previous undo each other;
 *		a text of fields is what naive.c reads in it: next is a match, and
 *		within some hours there is no earlier one, second by second.
 *
 * With clang this is a libFuzzer target; otherwise replay.c calls it.
 */
#include "pure/cron/cron.h"
#include "fuzz.h"
#include "naive.h"
#include "tzif.h"
#include "zone_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER	9

/* How far the naive search goes, in seconds */
#define WINDOW	20000

static const char *current_text = "";

static void
check_error(const char *text, const CronError *err)
{
	size_t		i;

	must(err->position >= 0 && err->length >= 0);
	must((size_t) err->position + (size_t) err->length <= strlen(text));
	must(memchr(err->message, '\0', sizeof(err->message)) != NULL);
	must(memchr(err->hint, '\0', sizeof(err->hint)) != NULL);
	must(err->message[0] != '\0' && err->hint[0] != '\0');
	for (i = 0; err->message[i] != '\0'; i++)
		must(err->message[i] >= ' ' && err->message[i] < 0x7f);
	for (i = 0; err->hint[i] != '\0'; i++)
		must(err->hint[i] >= ' ' && err->hint[i] < 0x7f);
}

static void
check_description(const CronSchedule *s)
{
	static char whole[CRON_DESCRIPTION_MAX];
	char		part[16];
	int			length = cron_describe(s, whole, sizeof(whole));

	must(length > 0 && length < CRON_DESCRIPTION_MAX);
	must(strlen(whole) == (size_t) length);
	must(cron_describe(s, part, sizeof(part)) == length);
	must(strncmp(part, whole, sizeof(part) - 1) == 0);
}

/* A zone from the input: NULL, a real one, or one made of its bytes */
static const CronZone *
choose_zone(const uint8_t *data, size_t size, int64_t t)
{
	static TzFile *real[sizeof(zone_names) / sizeof(zone_names[0])];
	static TzFile *made;
	int64_t		at[6];
	int32_t		offset[6];
	uint32_t	state = 2166136261u;
	size_t		i;

	if (data[0] == 0)
		return NULL;
	if (data[0] <= n_zone_names)
	{
		int			n = data[0] - 1;

		if (real[n] == NULL)
			real[n] = tz_load(zone_names[n]);
		return real[n] != NULL ? &real[n]->zone : NULL;
	}
	for (i = 0; i < size; i++)
		state = (state ^ data[i]) * 16777619u;
	for (i = 0; i < 6; i++)
	{
		t += i == 0 ? -(int64_t) (state % 20000) : 1 + (state >> 8) % 30000;
		state = state * 1664525u + 1013904223u;
		at[i] = t;
		offset[i] = (int32_t) ((state >> 4) % 187200) - 93600;
		if (data[0] & 1)
			offset[i] = offset[i] / 1800 * 1800;
		state = state * 1664525u + 1013904223u;
	}
	if (made != NULL)
		tz_free(made);
	made = tz_make(0, 6, at, offset);
	return &made->zone;
}

static void
check_times(const CronSchedule *s, const CronZone *zone, int64_t t)
{
	int64_t		next;
	int64_t		previous;
	int64_t		back;

	if (cron_next(s, zone, t, &next))
	{
		must(next > t && next >= CRON_MIN_TIME && next <= CRON_MAX_TIME);
		must(cron_previous(s, zone, next + 1, &back) && back == next);
		must(!cron_previous(s, zone, next, &back) || back <= t);
	}
	if (cron_previous(s, zone, t, &previous))
	{
		must(previous < t && previous >= CRON_MIN_TIME &&
			 previous <= CRON_MAX_TIME);
		must(cron_next(s, zone, previous - 1, &back) && back == previous);
		must(!cron_next(s, zone, previous, &back) || back >= t);
	}
}

/* Against a search second by second, just after t and just before next */
static void
check_naive(const char *text, const CronSchedule *s, const CronZone *zone,
			int64_t t)
{
	int64_t		found;
	int64_t		first;
	bool		any;

	if (t < CRON_MIN_TIME + 40 * 86400 || t > CRON_MAX_TIME - 40 * 86400)
		return;
	any = cron_next(s, zone, t, &found);
	if (naive_list(text, zone, t + 1, t + 1 + WINDOW, &first, 1) > 0)
		must(any && found == first);
	else
		must(!any || found > t + WINDOW);
	if (any && found > t + WINDOW && found < CRON_MAX_TIME - 40 * 86400)
	{
		must(naive_list(text, zone, found - 600, found + 1, &first, 1) == 1);
		must(first == found);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char		text[CRON_TEXT_MAX + 100];
	const CronZone *zone;
	CronSchedule s;
	CronError	err;
	const char *word;
	uint64_t	raw = 0;
	int64_t		t;
	size_t		length;
	int			i;

	if (size < HEADER || size - HEADER >= sizeof(text))
		return 0;
	for (i = 8; i > 0; i--)
		raw = raw << 8 | data[i];
	t = (int64_t) (raw % (UINT64_C(10000) * 31556952)) - INT64_C(62167219200);
	length = size - HEADER;
	memcpy(text, data + HEADER, length);
	text[length] = '\0';
	current_text = text;

	memset(&err, 0, sizeof(err));
	if (!cron_parse(text, &s, &err))
	{
		check_error(text, &err);
		return 0;
	}
	check_description(&s);
	zone = choose_zone(data, size, t);
	check_times(&s, zone, t);
	word = text + strspn(text, " \t");
	if (s.interval == 0 && *word != '@')
		check_naive(text, &s, zone, t);
	return 0;
}
