/*
 * answer.c
 *		The cron engine as a filter, for comparisons with others.  A line asks
 *
 *		zone TAB "next"|"previous" TAB instant TAB count TAB text
 *
 *		and is answered with so many instants, in seconds since 1970, fewer when
 *		there are no more; or with "error: " and the message.
 */
#include "pure/cron/cron.h"
#include "tzif.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const CronZone *
find_zone(const char *name)
{
	static char known[64][64];
	static TzFile *zones[64];
	int			i;

	if (strcmp(name, "UTC") == 0)
		return NULL;
	for (i = 0; i < 64 && zones[i] != NULL; i++)
		if (strcmp(known[i], name) == 0)
			return &zones[i]->zone;
	if (i == 64 || (zones[i] = tz_load(name)) == NULL)
	{
		fprintf(stderr, "cannot load zone %s\n", name);
		exit(1);
	}
	snprintf(known[i], sizeof(known[i]), "%s", name);
	return &zones[i]->zone;
}

int
main(void)
{
	char		line[4096];

	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		char		zone[64];
		char		direction[16];
		long long	start;
		int			count;
		int			n;
		CronSchedule s;
		CronError	err;
		int64_t		t;

		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%63[^\t]\t%15s\t%lld\t%d\t%n", zone, direction,
				   &start, &count, &n) != 4)
		{
			fprintf(stderr, "cannot read \"%s\"\n", line);
			return 1;
		}
		if (!cron_parse(line + n, &s, &err))
		{
			printf("error: %s\n", err.message);
			continue;
		}
		for (t = start; count > 0; count--)
		{
			if (strcmp(direction, "next") == 0 ?
				!cron_next(&s, find_zone(zone), t, &t) :
				!cron_previous(&s, find_zone(zone), t, &t))
				break;
			printf("%lld ", (long long) t);
		}
		printf("\n");
	}
	return 0;
}
