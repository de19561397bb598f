/*
 * main.c
 *		Runs the unit tests, or those that are named: ./unit parse oracle
 */
#include "harness.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int	passed;
static int	failed;

bool
check_at(const char *file, int line, bool ok, const char *format,...)
{
	va_list		args;

	if (ok)
	{
		passed++;
		return true;
	}
	/* Thousands of lines help nobody */
	if (++failed <= 100)
	{
		printf("%s:%d: ", file, line);
		va_start(args, format);
		vprintf(format, args);
		va_end(args);
		printf("\n");
	}
	return false;
}

/*
 * The calendar the slow way, so that no bug is shared with pure/cron/cron.c: whole years
 * and months are added up.
 */
static bool
is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int
days_in(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap(year));
}

int64_t
parse_time(const char *text)
{
	int			year,
				month,
				day,
				hour = 0,
				minute = 0,
				second = 0;
	int64_t		days = 0;
	int			i;

	if (sscanf(text, "%d-%d-%d %d:%d:%d", &year, &month, &day, &hour, &minute,
			   &second) < 3)
	{
		fprintf(stderr, "not a time: %s\n", text);
		abort();
	}
	for (i = 1970; i < year; i++)
		days += 365 + is_leap(i);
	for (i = year; i < 1970; i++)
		days -= 365 + is_leap(i);
	for (i = 1; i < month; i++)
		days += days_in(year, i);
	days += day - 1;
	return ((days * 24 + hour) * 60 + minute) * 60 + second;
}

const char *
show_time(int64_t t)
{
	static char bufs[8][40];
	static int	next;
	char	   *buf = bufs[next++ % 8];
	int64_t		days = t / 86400 - (t % 86400 < 0);
	int			rest = (int) (t - days * 86400);
	int			year = 1970;
	int			month = 1;

	while (days < 0)
		days += 365 + is_leap(--year);
	while (days >= 365 + is_leap(year))
		days -= 365 + is_leap(year++);
	while (days >= days_in(year, month))
		days -= days_in(year, month++);
	snprintf(buf, 40, "%04d-%02d-%02d %02d:%02d:%02d", year, month,
			 (int) days + 1, rest / 3600, rest / 60 % 60, rest % 60);
	return buf;
}

int
main(int argc, char **argv)
{
	static const struct
	{
		const char *name;
		void		(*run) (void);
	}			tests[] =
	{
		{"parse", test_parse},
		{"describe", test_describe},
		{"error pattern", test_error_pattern},
		{"next", test_next},
		{"tzif", test_tzif},
		{"published", test_published},
		{"zones", test_zones},
		{"oracle", test_oracle},
		{"retry_policy", test_retry_policy},
		{"batch_size", test_batch_size},
		{"pg_cron", test_pg_cron},
		{"pool_policy", test_pool_policy},
		{"network_rules", test_network_rules},
		{"url_check", test_url_check},
		{"fair_share", test_fair_share},
		{"lost_jobs", test_lost_jobs},
		{"virtual_time", test_virtual_time},
		{"rate", test_rate},
		{"mail_address", test_mail_address},
		{"http_headers", test_http_headers},
	};
	size_t		i;
	int			j;

	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
	{
		bool		wanted = argc == 1;

		for (j = 1; j < argc; j++)
			wanted = wanted || strcmp(argv[j], tests[i].name) == 0;
		if (!wanted)
			continue;
		random_seed(20240229);
		printf("# %s\n", tests[i].name);
		fflush(stdout);
		tests[i].run();
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed > 0 || passed == 0;
}
