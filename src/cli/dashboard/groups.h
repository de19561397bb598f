/*
 * groups.h
 *		The groups of a function or a queue: dashboard/groups.c.
 */
#ifndef DASHBOARD_GROUPS_H
#define DASHBOARD_GROUPS_H

#include "dashboard/page.h"

extern void groups_card(Page *page, const char *kind, const char *name);

#endif							/* DASHBOARD_GROUPS_H */
