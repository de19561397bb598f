/*
 * test_rate.c
 *		Rates: their text; and their arithmetic, with a clock of ours.
 */
#include "pure/rate.h"

#include <string.h>

#include "harness.h"
#include "random.h"

#define SECOND	INT64_C(1000000)
#define MINUTE	(60 * SECOND)
#define HOUR	(60 * MINUTE)

static void
test_text(void)
{
	static const struct
	{
		const char *text;
		int64_t		interval;	/* -1: an error */
	}			examples[] = {
		{"none", 0}, {"100/minute", 600000}, {"5/10 s", 2 * SECOND}, {"1/2 hours", 2 * HOUR},
		{"3/s", 333334}, {"1/1s", SECOND}, {" 10 / 2 Min ", 12 * SECOND}, {"7/day", 12342857143},
		{"1/week", 168 * HOUR}, {"1000000/s", 1}, {"1/ms", 1000}, {"2/3 ms", 1500},
		{"1/366 days", 366 * 24 * HOUR}, {"60/MINUTE", SECOND},
		{"", -1}, {"None", -1}, {"100", -1}, {"/s", -1}, {"100/", -1}, {"100/10", -1}, {"0/s", -1},
		{"1/0 s", -1}, {"-1/s", -1}, {"1.5/s", -1}, {"1/1.5 s", -1}, {"1/month", -1}, {"1/2 years", -1},
		{"1/mon", -1}, {"1/367 days", -1}, {"1000001/s", -1}, {"1001/ms", -1}, {"1/s s", -1},
		{"1/sx", -1}, {"1//s", -1}, {"99999999999999999999/s", -1}, {"1/99999999999999999999 s", -1},
		{"1/s/s", -1}, {"1 per s", -1}, {"\xc2\xa0" "1/s", -1}, {"1/m", -1},
	};

	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
	{
		char		problem[100] = "";
		int64_t		interval;
		bool		good = rate_parse(examples[i].text, &interval, problem, sizeof(problem));

		check(good == (examples[i].interval >= 0), "\"%s\": %s", examples[i].text, problem);
		check(!good || interval == examples[i].interval, "\"%s\": %lld", examples[i].text,
			  (long long) interval);
		check(good || (problem[0] != '\0' && strchr(problem, '\n') == NULL), "\"%s\" has no reason",
			  examples[i].text);
	}
}

/* The most that have begun in a half-open span */
static int
most_in_span(const int64_t *begun, int n, int64_t span)
{
	int			most = 0;
	int			first = 0;

	for (int i = 0; i < n; i++)
	{
		while (begun[i] - begun[first] >= span)
			first++;
		if (i - first + 1 > most)
			most = i - first + 1;
	}
	return most;
}

/*
 * Jobs come at random, sometimes none for long, and begin as early as they may or up to
 * "late" after that: count them in every span.  Returns how long all took.
 */
static int64_t
run(int count, int64_t period, int32_t burst, uint32_t pause, uint32_t late)
{
	enum
	{
		JOBS = 3000
	};
	static int64_t begun[JOBS];
	Rate		rate = {(period + count - 1) / count, burst};
	int64_t		now = random_below(1000000);
	int64_t		used = random_below(2) ? 0 : rate_all_used(&rate, now);

	for (int i = 0; i < JOBS; i++)
	{
		int64_t		next;

		if (pause > 0 && random_below(20) == 0)
			now += random_below(pause);
		next = rate_next(&rate, used, now);
		/* Thousands of them: only what is wrong is counted */
		if (rate_room(&rate, used, now, next) < 1)
			check(false, "none when it may begin");
		if (next > now && rate_room(&rate, used, now, next - 1) != 0)
			check(false, "one before it may begin");
		if (rate_next_after(&rate, used, now, rate_room(&rate, used, now, now + period)) <= now + period)
			check(false, "fewer than there is room for");
		now = next + (late > 0 ? random_below(late) : 0);
		used = rate_take(&rate, used, now);
		begun[i] = now;
	}
	check(most_in_span(begun, JOBS, period) <= count + burst - 1, "%d of %d in a period, burst %d",
		  most_in_span(begun, JOBS, period), count, burst);
	for (int k = 0; k < JOBS - burst; k++)
	{
		if (begun[k + burst] - begun[k] < rate.interval)
			check(false, "more than the burst of %d in an interval", burst);
	}
	return begun[JOBS - 1] - begun[0];
}

static void
test_spans(void)
{
	for (int i = 0; i < 200; i++)
	{
		int			count = 1 + random_below(i % 2 ? 10 : 1000);
		int64_t		period = count + random_below(i % 3 ? 1000000 : 1000000000);
		int32_t		burst = i % 4 ? 1 + random_below(20) : 1;

		run(count, period, burst, random_below(2) ? period * 2 % 2000000000 : 0,
			random_below(3) ? 0 : 1 + random_below(1000));
	}

	/* All tokens are used if all begin in time */
	check(run(1000, SECOND, 1, 0, 0) == 2999 * INT64_C(1000), "one each millisecond");
	check(run(1, HOUR, 5, 0, 0) >= 2994 * HOUR, "the burst once");
}

static void
test_changes(void)
{
	Rate		hourly = {HOUR, 1};
	Rate		often = {SECOND, 1};
	Rate		burst = {SECOND, 10};
	int64_t		now = 1000 * HOUR;
	int64_t		used = rate_take(&hourly, 0, now);

	check(rate_next(&hourly, used, now) == now + HOUR, "the next one in an hour");
	check(rate_next(&often, rate_change(&hourly, &often, used, now, 0), now) == now + SECOND, "raised");
	used = rate_take(&often, 0, now);
	check(rate_next(&hourly, rate_change(&often, &hourly, used, now + 5, 0), now + 5) == now + HOUR, "lowered");

	/* A burst that was used is not held against a rate without one */
	used = now + 10 * HOUR;
	check(rate_next(&often, rate_change(&hourly, &often, used, now, 0), now) == now + SECOND, "after a burst");

	/* the last one lies ahead: the next comes after it */
	used = rate_take(&hourly, now, now + 40);
	check(rate_next(&often, rate_change(&hourly, &often, used, now, 40), now) == now + 40 + SECOND, "raised, with one ahead");
	check(rate_room(&burst, 0, now, now) == 10, "a burst of ten");
	check(rate_room(&burst, rate_all_used(&burst, now), now, now) == 0, "that is used");
	check(rate_room(&burst, rate_all_used(&burst, now), now, now + SECOND) == 1, "comes back");

	/* Nothing overflows */
	burst = (Rate) {RATE_PERIOD_MAX, RATE_BURST_MAX};
	check(rate_room(&burst, 0, now, now) == RATE_BURST_MAX, "the largest burst");
	check(rate_next(&burst, rate_all_used(&burst, now), now) == now + RATE_PERIOD_MAX, "the longest period");
}

void
test_rate(void)
{
	random_seed(17);
	test_text();
	test_spans();
	test_changes();
}
