/*
 * chart.h
 *		Charts as SVG.
 */
#ifndef DASHBOARD_CHART_H
#define DASHBOARD_CHART_H

#include "core/buffer.h"

extern void chart_bars(Buffer *out, const double *good, const double *bad, int n,
					   double start, double step, const char *title);
extern void chart_spark(Buffer *out, const double *good, const double *bad, int n,
						const char *title);

#endif							/* DASHBOARD_CHART_H */
