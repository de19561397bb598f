/*
 * test_tzif.c
 *		The tests' own reader of time zones agrees with the C library.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "tzif.h"
#include "zone_names.h"

#include <stdlib.h>
#include <time.h>

void
test_tzif(void)
{
	int			i;
	int			j;

	for (i = 0; i < n_zone_names; i++)
	{
		TzFile	   *tz = tz_load(zone_names[i]);
		int			bad = 0;

		if (!check(tz != NULL, "no zone %s", zone_names[i]))
			continue;
		setenv("TZ", zone_names[i], 1);
		tzset();
		for (j = 0; j < 20000; j++)
		{
			/* some at random, some around changes */
			time_t		t = (time_t) random_below(UINT32_MAX) * 4 -
				INT64_C(3000000000);
			struct tm	tm;
			int32_t		offset;
			int64_t		from = 0;
			int64_t		until = 0;

			if (j % 2 == 0 && tz->n > 0)
				t = tz->at[random_below((uint32_t) tz->n)] - 2 +
					random_below(4);
			tz->zone.lookup(tz, t, &offset, &from, &until);
			localtime_r(&t, &tm);
			if ((t < from || t >= until || offset != tm.tm_gmtoff) &&
				++bad <= 3)
				check(false, "%s at %s: %d, not %ld", zone_names[i],
					  show_time(t), offset, tm.tm_gmtoff);
		}
		check(bad == 0, "%s: %d differences", zone_names[i], bad);
		tz_free(tz);
	}
	unsetenv("TZ");
	tzset();
}
