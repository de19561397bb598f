/*
 * chart.c
 *		Charts as SVG: bars of jobs that succeeded, with those that failed on top.
 *
 * Colours come from the style sheet.  Each bar has its numbers as text, too.
 */
#include "dashboard/chart.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "core/format.h"
#include "dashboard/html.h"

#define WIDTH		1000.0
#define HEIGHT		190.0
#define LEFT		52.0
#define BOTTOM		24.0
#define TOP			8.0

static double
highest_bar(const double *good, const double *bad, int n)
{
	double		max = 0;

	for (int i = 0; i < n; i++)
	{
		if (good[i] + bad[i] > max)
			max = good[i] + bad[i];
	}
	return max;
}

/* Return the next round number: the top of an axis whose half is marked, too */
static double
round_up(double value)
{
	static const double steps[] = {1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10};
	double		unit;

	if (value <= 4)
		return 4;
	unit = pow(10, floor(log10(value)));
	for (size_t i = 0; i < lengthof(steps); i++)
	{
		/* below 100 half of it must be a whole number */
		if (value <= steps[i] * unit && fmod(steps[i] * unit, 2) == 0)
			return steps[i] * unit;
	}
	return 20 * unit;
}

static void
short_count(Buffer *out, double value)
{
	if (value >= 1e6)
		buffer_printf(out, "%.3gM", value / 1e6);
	else if (value >= 1e4)
		buffer_printf(out, "%.3gk", value / 1e3);
	else
		format_count(out, value);
}

/* Append the title of a bar: when, how many */
static void
bar_title(Buffer *out, double at, double step, double good, double bad)
{
	time_t		t = (time_t) at;
	struct tm	tm;
	char		when[40];

	gmtime_r(&t, &tm);
	strftime(when, sizeof(when), step >= 3600 ? "%b %d, %H:%M" : step >= 60 ? "%H:%M" : "%H:%M:%S", &tm);
	buffer_printf(out, "<title>%s UTC: ", when);
	format_count(out, round(good));
	buffer_add(out, " succeeded, ");
	format_count(out, round(bad));
	buffer_add(out, " failed</title>");
}

/* Append times under every few bars; they are UTC, and a script makes them local */
static void
time_axis(Buffer *out, double start, double step, int n)
{
	double		bar = (WIDTH - LEFT) / n;
	int			every = n / 6 > 0 ? n / 6 : 1;

	for (int i = every / 2; i < n; i += every)
	{
		time_t		t = (time_t) (start + i * step);
		struct tm	tm;
		char		text[40];
		char		iso[40];

		gmtime_r(&t, &tm);
		strftime(text, sizeof(text), step * n > 86400 * 1.5 ? "%b %d %H:%M" : step >= 20 ? "%H:%M" : "%H:%M:%S", &tm);
		strftime(iso, sizeof(iso), "%Y-%m-%dT%H:%M:%SZ", &tm);
		html_add(out, "<text class=\"tick\" data-time=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>",
				 iso, LEFT + (i + 0.5) * bar, HEIGHT - 5, text);
	}
}

/* Append a chart of n bars of step seconds, the first beginning at start */
void
chart_bars(Buffer *out, const double *good, const double *bad, int n,
		   double start, double step, const char *title)
{
	double		top = round_up(highest_bar(good, bad, n));
	double		height = HEIGHT - TOP - BOTTOM;
	double		bar = (WIDTH - LEFT) / n;

	html_add(out, "<svg class=\"chart\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"%s\">",
			 WIDTH, HEIGHT, title);
	for (int i = 0; i <= 4; i += 2)
	{
		double		y = TOP + height - height * i / 4;

		html_add(out, "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, WIDTH, y, y);
		html_add(out, "<text class=\"tick\" x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 6, y + 4);
		short_count(out, top * i / 4);
		buffer_add(out, "</text>");
	}
	for (int i = 0; i < n; i++)
	{
		double		tall = good[i] / top * height;
		double		tall_bad = bad[i] / top * height;
		double		x = LEFT + i * bar + bar * 0.1;

		/* at least some pixels, to be visible */
		if (bad[i] > 0 && tall_bad < 2)
			tall_bad = 2;
		if (good[i] > 0 && tall < 1)
			tall = 1;
		if (good[i] <= 0 && bad[i] <= 0)
			continue;
		buffer_add(out, "<g class=\"bar\">");
		bar_title(out, start + i * step, step, good[i], bad[i]);
		html_add(out, "<rect class=\"hit\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\"/>",
				 LEFT + i * bar, TOP, bar, height);
		if (good[i] > 0)
			html_add(out, "<rect class=\"good\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>",
					 x, TOP + height - tall, bar * 0.8, tall);
		if (bad[i] > 0)
			html_add(out, "<rect class=\"bad\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>",
					 x, TOP + height - tall - tall_bad, bar * 0.8, tall_bad);
		buffer_add(out, "</g>");
	}
	time_axis(out, start, step, n);
	buffer_add(out, "</svg>");
}

/* Append a small chart without axes, for the row of a table */
void
chart_spark(Buffer *out, const double *good, const double *bad, int n, const char *title)
{
	double		top = highest_bar(good, bad, n);
	double		height = 24;

	html_add(out, "<svg class=\"spark\" viewBox=\"0 0 %d %.0f\" role=\"img\" aria-label=\"%s\" preserveAspectRatio=\"none\">",
			 n * 4, height, title);
	html_add(out, "<line class=\"grid\" x1=\"0\" x2=\"%d\" y1=\"23.5\" y2=\"23.5\"/>", n * 4);
	for (int i = 0; i < n; i++)
	{
		/* by the root, so that quiet hours beside a busy one are visible */
		double		all = good[i] + bad[i];
		double		tall = all > 0 ? sqrt(all / top) * height : 0;
		double		tall_bad = bad[i] > 0 ? tall * bad[i] / all : 0;

		if (all <= 0)
			continue;
		if (tall < 1.5)
			tall = 1.5;
		if (bad[i] > 0 && tall_bad < 1.5)
			tall_bad = 1.5;
		if (good[i] > 0)
			html_add(out, "<rect class=\"good\" x=\"%d\" y=\"%.1f\" width=\"3\" height=\"%.1f\"/>", i * 4, height - tall, tall);
		if (bad[i] > 0)
			html_add(out, "<rect class=\"bad\" x=\"%d\" y=\"%.1f\" width=\"3\" height=\"%.1f\"/>", i * 4, height - tall_bad, tall_bad);
	}
	buffer_add(out, "</svg>");
}
