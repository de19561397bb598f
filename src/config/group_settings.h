/*
 * group_settings.h
 *		Settings of single groups of a function or queue.
 */
#ifndef GROUP_SETTINGS_H
#define GROUP_SETTINGS_H

#include "postgres.h"

struct Job;

/* A group of a function or queue, as defer.set_group() has made it */
typedef struct GroupSettings
{
	int32		limit;			/* LIMIT_NONE, or more than 0 */
	bool		paused;
	char	   *reason;			/* why it is paused; NULL: not said */
} GroupSettings;

/*
 * Read the settings of a group of a function ('f') or queue ('q'), which has
 * group_overrides; those that it does not have stay as they are in *group.
 */
extern void group_settings_read(char kind, int32 id, const char *group_key, GroupSettings *group);

/*
 * Name the limit of 1 under which "holder" runs and "job" would, unless that is cancelled
 * then; NULL: there is none.  As long as the one runs the other cannot.
 */
extern char *settings_limit_of_one(const struct Job *holder, const struct Job *job);

/* Delete those of a function ('f') or queue ('q') that is deleted, and what holds them; in SPI,
 * as its owner */
extern void group_settings_delete(char kind, int32 id);

#endif							/* GROUP_SETTINGS_H */
