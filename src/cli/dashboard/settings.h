/*
 * settings.h
 *		Forms for settings of functions and queues: dashboard/settings.c.
 */
#ifndef DASHBOARD_SETTINGS_H
#define DASHBOARD_SETTINGS_H

#include "dashboard/page.h"

/* Fields of both forms behind the name: $2 to $18 of the statements */
#define SETTINGS_FIELDS \
	"priority", "concurrency", "rate", "rate_burst", "max_attempts", "initial_interval", \
	"multiplier", "max_interval", "randomization", "max_duration", "discard_after", "group_by", \
	"group_concurrency", "group_rate", "group_rate_burst", "group_order", "on_group_failure", \
	"max_queued", "group_max_queued"

extern void settings_card(Page *page, const char *kind, const char *name);

#endif							/* DASHBOARD_SETTINGS_H */
