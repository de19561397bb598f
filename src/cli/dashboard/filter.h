/*
 * filter.h
 *		The filter of the page Jobs, which is part of its address: dashboard/filter.c.
 */
#ifndef DASHBOARD_FILTER_H
#define DASHBOARD_FILTER_H

#include "dashboard/page.h"

extern void filter_form(Page *page);
extern void filter_tabs(Page *page);
extern void filter_address(Buffer *out, const char *path, const Request *request,
						   const char *without);
extern char *filter_pattern(const char *part);

#endif							/* DASHBOARD_FILTER_H */
