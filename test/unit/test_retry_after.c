/*
 * test_retry_after.c
 *		The header Retry-After.
 */
#include "harness.h"
#include "pure/retry_after.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define LIMIT	3600

static int64_t now;

static void
expect(const char *value, int64_t expected)
{
	int64_t		got = retry_after_seconds(value, now, LIMIT);

	check(got == expected, "\"%s\" at %s: %lld, not %lld", value, show_time(now),
		  (long long) got, (long long) expected);
}

/* A date that must be read as this instant */
static void
expect_at(const char *value, const char *at)
{
	int64_t		t = parse_time(at);

	now = t - 100;
	expect(value, 100);
	now = t;
	expect(value, -1);
	now = t + 1;
	expect(value, -1);
	now = t - LIMIT - 1;
	expect(value, LIMIT);
}

static void
test_numbers(void)
{
	char		long_number[100];

	now = parse_time("2026-11-24 12:00:00");
	expect("1", 1);
	expect("120", 120);
	expect(" 120 ", 120);
	expect("\t120\r\n", 120);
	expect("007", 7);
	expect("3599", 3599);
	expect("3600", LIMIT);
	expect("3601", LIMIT);
	expect("1000000000000", LIMIT);
	expect("9223372036854775808", LIMIT);
	expect("99999999999999999999999999999999999999", LIMIT);
	expect("0", -1);
	expect("000", -1);
	expect("-1", -1);
	expect("-3600", -1);
	expect("+5", -1);
	expect("1.5", -1);
	expect("1e3", -1);
	expect("0x10", -1);
	expect("5 s", -1);
	expect("5,6", -1);
	expect("", -1);
	expect("   ", -1);
	expect("soon", -1);
	expect("\xef\xbc\x95", -1);		/* a digit, but not of ASCII */
	memset(long_number, '9', sizeof(long_number));
	long_number[sizeof(long_number) - 1] = '\0';
	expect(long_number, -1);

	check(retry_after_seconds("10", 0, 5) == 5 && retry_after_seconds("10", 0, 10) == 10 &&
		  retry_after_seconds("10", 0, 11) == 10, "other limits");
	check(retry_after_seconds("9223372036854775807", 0, INT64_MAX / 16) == INT64_MAX / 16, "a large limit");
}

static void
test_dates(void)
{
	static const char *const junk[] = {
		"Sun, 31 Feb 2027 08:49:37 GMT", "Mon, 29 Feb 2027 00:00:00 GMT", "Tue, 31 Apr 2027 00:00:00 GMT",
		"Wed, 00 Jan 2027 00:00:00 GMT", "Wed, 32 Jan 2027 00:00:00 GMT", "Wed, 1 Jan 2027 00:00:00 GMT",
		"Wed, 01 Foo 2027 00:00:00 GMT", "Wed, 01 jan 2027 00:00:00 GMT", "Wed, 01 Jan 27 00:00:00 GMT",
		"Wed, 01 Jan 2027 24:00:00 GMT", "Wed, 01 Jan 2027 00:60:00 GMT", "Wed, 01 Jan 2027 00:00:61 GMT",
		"Wed, 01 Jan 2027 00:00 GMT", "Wed, 01 Jan 2027 00:00:00", "Wed, 01 Jan 2027 00:00:00 UTC",
		"Wed, 01 Jan 2027 00:00:00 +0000", "Wed, 01 Jan 2027 00:00:00 GMT x", "Wed 01 Jan 2027 00:00:00 GMT",
		", 01 Jan 2027 00:00:00 GMT", "01 Jan 2027 00:00:00 GMT", "2027-01-01T00:00:00Z",
		"Wed,01 Jan 2027 00:00:00 GMT", "Wed, 01  Jan 2027 00:00:00 GMT", "Wed, 01 Jan -027 00:00:00 GMT",
		"Wed, -1 Jan 2027 00:00:00 GMT", "Wed, 01 Jan 2027 -1:00:00 GMT", "Wed, +1 Jan 2027 00:00:00 GMT",
		"Wednesday, 01-Jan--7 00:00:00 GMT", "Wednesday, 01-Jan-2027 00:00:00 GMT",
		"Wed Jan 01 00:00:00 27", "Wed Jan  1 00:00:00 2027 GMT", "Wed Jan   1 00:00:00 2027",
		"Wed Jan  0 00:00:00 2027", "Wed Jan xx 00:00:00 2027", "Wed Ja", "Wed J", "Wed ", "Wed", "W",
		"Wed, 01 J", "Wed, 01 Jan 1969 23:59:59 GMT", "Wed, 01 Jan 0000 00:00:00 GMT",
		"Wed, \xef\xbc\x90\x31 Jan 2027 00:00:00 GMT", "Thu, 01 Jan 2027 00:00:00 GMT, 5",
	};
	size_t		i;

	/* The three forms of RFC 9110, with its own example */
	expect_at("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06 08:49:37");
	expect_at("Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06 08:49:37");
	expect_at("Sun Nov  6 08:49:37 1994", "1994-11-06 08:49:37");
	expect_at("Wed Nov 16 08:49:37 1994", "1994-11-16 08:49:37");
	expect_at("  Sun, 06 Nov 1994 08:49:37 GMT  ", "1994-11-06 08:49:37");

	/* Leap days, ends of years, a leap second */
	expect_at("Thu, 29 Feb 2024 23:59:59 GMT", "2024-02-29 23:59:59");
	expect_at("Tue, 29 Feb 2000 00:00:00 GMT", "2000-02-29 00:00:00");
	expect_at("Tue Feb 29 00:00:00 2028", "2028-02-29 00:00:00");
	expect_at("Tuesday, 29-Feb-28 00:00:00 GMT", "2028-02-29 00:00:00");
	expect_at("Thu, 31 Dec 2026 23:59:59 GMT", "2026-12-31 23:59:59");
	expect_at("Fri, 01 Jan 2027 00:00:00 GMT", "2027-01-01 00:00:00");
	expect_at("Sat, 31 Dec 2016 23:59:60 GMT", "2017-01-01 00:00:00");
	expect_at("Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01 00:00:00");
	now = parse_time("2100-02-28 23:59:00");
	expect("Mon, 29 Feb 2100 00:00:00 GMT", -1);
	expect("Mon, 01 Mar 2100 00:00:00 GMT", 60);
	now = 0;
	expect("Fri, 31 Dec 9999 23:59:59 GMT", LIMIT);

	/* Two digits of a year, from either side of a century */
	now = parse_time("1999-12-31 23:59:00");
	expect("Saturday, 01-Jan-00 00:00:00 GMT", 60);
	now = parse_time("2099-12-31 23:59:00");
	expect("Friday, 01-Jan-00 00:00:00 GMT", 60);
	now = parse_time("2026-11-24 12:00:00");
	expect("Sunday, 06-Nov-94 08:49:37 GMT", -1);
	expect("Friday, 01-Jan-27 00:00:00 GMT", LIMIT);

	for (i = 0; i < sizeof(junk) / sizeof(junk[0]); i++)
		expect(junk[i], -1);
}

/* Each of many instants in all forms, made by the C library */
static void
test_random_dates(void)
{
	int			i;

	for (i = 0; i < 20000; i++)
	{
		time_t		t = (time_t) random_below(UINT32_MAX) * 2 + 1;
		int			wait = 1 + (int) random_below(LIMIT - 1);
		struct tm	tm;
		char		text[3][64];
		int			form;

		gmtime_r(&t, &tm);
		strftime(text[0], sizeof(text[0]), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		strftime(text[1], sizeof(text[1]), "%A, %d-%b-%y %H:%M:%S GMT", &tm);
		strftime(text[2], sizeof(text[2]), "%a %b %e %H:%M:%S %Y", &tm);
		now = t - wait;
		for (form = 0; form < 3; form++)
			if (retry_after_seconds(text[form], now, LIMIT) != wait)
				expect(text[form], wait);
	}
}

void
test_retry_after(void)
{
	test_numbers();
	test_dates();
	test_random_dates();
}
