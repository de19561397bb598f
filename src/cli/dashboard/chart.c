/*
 * chart.c
 *		Charts as SVG: bars of jobs that succeeded, with those that failed on top,
 *		lines of durations, areas of counts.
 *
 * Colours come from the style sheet.  Each step has its numbers as text, too, and
 * leads to its jobs.
 */
#include "dashboard/chart.h"

#include <math.h>
#include <string.h>

#include "core/format.h"
#include "dashboard/html.h"

#define WIDTH		500.0
#define HEIGHT		150.0
#define LEFT		46.0
#define RIGHT		6.0
#define BOTTOM		22.0
#define TOP			8.0
#define TALL		(HEIGHT - TOP - BOTTOM)

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

/* Append a count with three digits, as on an axis */
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

/* Return the next round number of seconds for the top of an axis */
static double
round_up_seconds(double value)
{
	static const double steps[] = {
		1, 2, 4, 6, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400
	};
	double		unit;

	if (value < 1)
	{
		/* 1, 2, 4, 6 or 10 of a power of ten */
		if (value <= 1e-6)
			return 1e-6;
		unit = pow(10, floor(log10(value)));
		for (int i = 0; i < 5; i++)
		{
			if (value <= steps[i] * unit)
				return steps[i] * unit;
		}
		return 10 * unit;
	}
	for (size_t i = 0; i < lengthof(steps); i++)
	{
		if (value <= steps[i])
			return steps[i];
	}
	return 14400 * ceil(value / 14400);
}

static double
step_width(const ChartAxis *axis)
{
	return (WIDTH - LEFT - RIGHT) / axis->n;
}

/* Return the middle of a step */
static double
middle(const ChartAxis *axis, int i)
{
	return LEFT + (i + 0.5) * step_width(axis);
}

static double
height_of(double value, double top)
{
	return TOP + TALL - value / top * TALL;
}

/* Open a chart: its grid, its labels; top is the largest number of the axis */
static void
chart_begin(Buffer *out, const ChartAxis *axis, double top, bool seconds, const char *title)
{
	html_add(out, "<svg class=\"chart\" viewBox=\"0 0 %.0f %.0f\" role=\"group\" aria-label=\"%s\">",
			 WIDTH, HEIGHT, title);
	for (int i = 0; i <= 2; i++)
	{
		double		y = height_of(i, 2);

		html_add(out, "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, WIDTH - RIGHT, y, y);
		html_add(out, "<text class=\"tick\" x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 6, y + 4);
		if (!seconds)
			short_count(out, top * i / 2);
		else if (i > 0)
			format_seconds(out, top * i / 2);
		else
			buffer_char(out, '0');
		buffer_add(out, "</text>");
	}
	for (int i = axis->first; i < axis->n; i += axis->every)
		html_add(out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>",
				 middle(axis, i) - step_width(axis) / 2, HEIGHT - 5, axis->labels[i]);
}

/*
 * Open a step: a link to its jobs, what is seen under the pointer, and the beginning
 * of its title.  By the keyboard the link beside the heading leads to all of them.
 */
static void
step_begin(Buffer *out, const ChartAxis *axis, int i)
{
	if (axis->link != NULL)
	{
		buffer_add(out, "<a class=\"step\" tabindex=\"-1\" href=\"");
		buffer_add(out, axis->link);
		buffer_add(out, "ended_since=");
		html_url(out, axis->times[i]);
		buffer_add(out, "&amp;ended_until=");
		html_url(out, axis->times[i + 1]);
		buffer_add(out, "\">");
	}
	else
		buffer_add(out, "<g class=\"step\">");
	html_add(out, "<title>%s: ", axis->times[i]);
}

/* Close the title of a step, and append the area in which the pointer finds it */
static void
step_hit(Buffer *out, const ChartAxis *axis, int i)
{
	html_add(out, "</title><rect class=\"hit\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\"/>",
			 LEFT + i * step_width(axis), TOP, step_width(axis), TALL);
}

static void
step_end(Buffer *out, const ChartAxis *axis)
{
	buffer_add(out, axis->link != NULL ? "</a>" : "</g>");
}

/* Append a chart of bars; good NULL: only those that failed */
void
chart_bars(Buffer *out, const ChartAxis *axis, const double *good, const double *bad,
		   const char *title)
{
	static const double none[CHART_STEPS];
	const double *lower = good != NULL ? good : none;
	double		top = round_up(highest_bar(lower, bad, axis->n));
	double		width = step_width(axis) * 0.8;

	chart_begin(out, axis, top, false, title);
	for (int i = 0; i < axis->n; i++)
	{
		double		tall = lower[i] / top * TALL;
		double		tall_bad = bad[i] / top * TALL;
		double		x = middle(axis, i) - width / 2;

		/* at least some pixels, to be visible */
		if (bad[i] > 0 && tall_bad < 2)
			tall_bad = 2;
		if (lower[i] > 0 && tall < 1)
			tall = 1;
		if (lower[i] <= 0 && bad[i] <= 0)
			continue;
		step_begin(out, axis, i);
		if (good != NULL)
		{
			format_count(out, round(good[i]));
			buffer_add(out, " succeeded, ");
		}
		format_count(out, round(bad[i]));
		buffer_add(out, " failed");
		step_hit(out, axis, i);
		if (lower[i] > 0)
			html_add(out, "<rect class=\"good\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>",
					 x, TOP + TALL - tall, width, tall);
		if (bad[i] > 0)
			html_add(out, "<rect class=\"bad\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"/>",
					 x, TOP + TALL - tall - tall_bad, width, tall_bad);
		step_end(out, axis);
	}
	buffer_add(out, "</svg>");
}

/* Append a line through the steps that have a value; NAN is none */
static void
line(Buffer *out, const ChartAxis *axis, const double *values, double top, const char *class)
{
	bool		open = false;

	html_add(out, "<path class=\"%s\" d=\"", class);
	for (int i = 0; i < axis->n; i++)
	{
		bool		alone = !open && (i + 1 == axis->n || isnan(values[i + 1]));

		if (isnan(values[i]))
		{
			open = false;
			continue;
		}
		buffer_printf(out, "%c%.1f %.1f", open ? 'L' : 'M', middle(axis, i) - (alone ? 1.5 : 0),
					  height_of(values[i], top));
		if (alone)
			buffer_add(out, "h3");
		open = true;
	}
	buffer_add(out, "\"/>");
}

/* Append a chart of two lines of seconds; NAN where there is no value */
void
chart_lines(Buffer *out, const ChartAxis *axis, const double *low, const double *high,
			const char *title)
{
	double		top = 0;

	for (int i = 0; i < axis->n; i++)
	{
		if (!isnan(high[i]) && high[i] > top)
			top = high[i];
	}
	top = top > 0 ? round_up_seconds(top) : 1;
	chart_begin(out, axis, top, true, title);
	for (int i = 0; i < axis->n; i++)
	{
		if (isnan(high[i]))
			continue;
		step_begin(out, axis, i);
		buffer_add(out, "half within ");
		format_seconds(out, low[i]);
		buffer_add(out, ", 95 % within ");
		format_seconds(out, high[i]);
		step_hit(out, axis, i);
		step_end(out, axis);
	}
	line(out, axis, high, top, "line high");
	line(out, axis, low, top, "line low");
	buffer_add(out, "</svg>");
}

/* Append a chart of one area of counts */
void
chart_area(Buffer *out, const ChartAxis *axis, const double *values, const char *title)
{
	double		top = 0;

	for (int i = 0; i < axis->n; i++)
	{
		if (values[i] > top)
			top = values[i];
	}
	top = round_up(top);
	chart_begin(out, axis, top, false, title);
	buffer_printf(out, "<path class=\"area\" d=\"M%.1f %.1f", middle(axis, 0), TOP + TALL);
	for (int i = 0; i < axis->n; i++)
		buffer_printf(out, "L%.1f %.1f", middle(axis, i), height_of(values[i], top));
	buffer_printf(out, "L%.1f %.1fz\"/>", middle(axis, axis->n - 1), TOP + TALL);
	line(out, axis, values, top, "line");
	for (int i = 0; i < axis->n; i++)
	{
		html_add(out, "<g class=\"step\"><title>%s: ", axis->times[i + 1]);
		format_count(out, round(values[i]));
		buffer_add(out, " waited");
		step_hit(out, axis, i);
		buffer_add(out, "</g>");
	}
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
