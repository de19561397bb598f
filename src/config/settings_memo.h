/*
 * settings_memo.h
 *		What was worked out of the settings of the last job: jobs of one function and queue
 *		come one after another.  config/settings_memo.c.
 */
#ifndef DEFER_SETTINGS_MEMO_H
#define DEFER_SETTINGS_MEMO_H

#include "base/job.h"

/* Whose settings these were; what was made of them is the caller's.  All 0: none */
typedef struct SettingsMemo
{
	char	   *function;
	char	   *queue;
	uint64		generation;		/* of the settings */
} SettingsMemo;

/* Check whether the job has the same, and none has changed */
extern bool settings_memo_holds(const SettingsMemo *memo, const Job *job);

/*
 * Make it the job's.  It holds once settings_memo_end() is called with what this has
 * returned: reading settings in between may fail, or hear of a change.
 */
extern uint64 settings_memo_begin(SettingsMemo *memo, const Job *job);
extern void settings_memo_end(SettingsMemo *memo, uint64 generation);

#endif							/* DEFER_SETTINGS_MEMO_H */
