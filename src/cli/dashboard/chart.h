/*
 * chart.h
 *		Charts as SVG.
 */
#ifndef DASHBOARD_CHART_H
#define DASHBOARD_CHART_H

#include "core/buffer.h"

/* Most steps of a chart */
#define CHART_STEPS		100

/* The time axis of a chart */
typedef struct ChartAxis
{
	int			n;				/* steps */
	int			first;			/* step that has a label below its beginning */
	int			every;			/* so many steps from one label to the next */
	const char *labels[CHART_STEPS];	/* for the axis */
	const char *times[CHART_STEPS + 1]; /* beginnings of the steps, end of the
										 * last one; with the zone */
	const char *link;			/* of the jobs of a step: markup, to be
								 * continued with the two times; NULL: none */
} ChartAxis;

extern void chart_bars(Buffer *out, const ChartAxis *axis, const double *good, const double *bad,
					   const char *title);
extern void chart_lines(Buffer *out, const ChartAxis *axis, const double *low, const double *high,
						const char *title);
extern void chart_area(Buffer *out, const ChartAxis *axis, const double *values, const char *title);
extern void chart_spark(Buffer *out, const double *good, const double *bad, int n,
						const char *title);

#endif							/* DASHBOARD_CHART_H */
