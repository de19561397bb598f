/*
 * series.h
 *		Charts of what ended, how long it took and what waited, over time.
 */
#ifndef DASHBOARD_SERIES_H
#define DASHBOARD_SERIES_H

#include "dashboard/page.h"

extern double series_since(const Page *page);
extern void series_card(Page *page, const char *function, const char *queue);

#endif							/* DASHBOARD_SERIES_H */
