/*
 * actions.h
 *		What a POST does.
 */
#ifndef DASHBOARD_ACTIONS_H
#define DASHBOARD_ACTIONS_H

#include "dashboard/page.h"

extern void action_run(Page *page);

#endif							/* DASHBOARD_ACTIONS_H */
