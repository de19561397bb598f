/*
 * settings_changes.h
 *		Changes of the settings of functions, queues, endpoints and tasks: config/settings_cache.c.
 */
#ifndef DEFER_SETTINGS_CHANGES_H
#define DEFER_SETTINGS_CHANGES_H

#include "postgres.h"

/* Grows when any of them may have changed, once this process watches them */
extern void settings_watch(void);
extern uint64 settings_generation(void);

/* After a change of one of the tables: at commit, everywhere */
extern void settings_invalidate(void);

#endif							/* DEFER_SETTINGS_CHANGES_H */
