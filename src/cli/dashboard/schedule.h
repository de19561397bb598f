/*
 * schedule.h
 *		One schedule: what its page and its card share.
 */
#ifndef DASHBOARD_SCHEDULE_H
#define DASHBOARD_SCHEDULE_H

#include "dashboard/page.h"

/* schedules.c */
extern void schedule_pause(Page *page, const PGresult *res, int row);

#endif							/* DASHBOARD_SCHEDULE_H */
