/*
 * group_settings.h
 *		Settings of single groups of a function or queue.
 */
#ifndef GROUP_SETTINGS_H
#define GROUP_SETTINGS_H

#include "postgres.h"

/* Delete those of a function ('f') or queue ('q') that is deleted; in SPI, as its owner */
extern void group_settings_delete(char kind, int32 id);

#endif							/* GROUP_SETTINGS_H */
