/*
 * test_published.c
 *		What another implementation's tests expect, in published.txt.
 */
#include "pure/cron/cron.h"
#include "harness.h"
#include "tzif.h"

#include <stdio.h>
#include <string.h>

static void
check_line(const char *zone, const char *after, const char *next,
		   const char *text)
{
	TzFile	   *tz = tz_load(zone);
	CronSchedule s;
	CronError	err;
	int64_t		found = 0;

	if (check(tz != NULL, "no zone %s", zone) &&
		check(cron_parse(text, &s, &err), "\"%s\": %s", text, err.message))
		check(cron_next(&s, &tz->zone, parse_time(after), &found) &&
			  found == parse_time(next), "%s \"%s\" after %s: %s instead of "
			  "%s", zone, text, after, show_time(found), next);
	if (tz != NULL)
		tz_free(tz);
}

void
test_published(void)
{
	FILE	   *file = fopen("published.txt", "r");
	char		line[512];
	int			n = 0;

	if (!check(file != NULL, "no file published.txt"))
		return;
	while (fgets(line, sizeof(line), file) != NULL)
	{
		char	   *zone = strtok(line, "\t\n");
		char	   *after = strtok(NULL, "\t\n");
		char	   *next = strtok(NULL, "\t\n");
		char	   *text = strtok(NULL, "\n");

		if (zone == NULL || *zone == '#')
			continue;
		if (!check(text != NULL, "a line of published.txt is incomplete"))
			continue;
		check_line(zone, after, next, text);
		n++;
	}
	fclose(file);
	check(n > 800, "only %d facts in published.txt", n);
}
