/*
 * setting_target.h
 *		Functions and queues whose settings the current user may change.
 */
#ifndef SETTING_TARGET_H
#define SETTING_TARGET_H

#include "postgres.h"

#include "fmgr.h"

#include "base/args.h"

/* What defer.function has, or is to have, a row for */
typedef struct SettingTarget
{
	text	   *signature;
	Oid			owner;
} SettingTarget;

/*
 * config/configure.c: the function that a user means by a name; an error unless the
 * current user may configure it
 */
extern SettingTarget setting_target(const char *name);

/* The number of its row, which is made if there is none, and locked */
extern int32 setting_target_id(const SettingTarget *target);

/* Write the settings given in the arguments from 1 on, as of defer.configure() */
extern int	setting_target_arguments(void); /* the first one behind these */
extern void setting_target_write(const SettingTarget *target, FunctionCallInfo fcinfo);

/* config/queues.c: error unless the current user may change (to_pause: pause) the queue */
extern void queue_check_may_change(const char *name, bool to_pause);

/* The number of a queue's row, which is made for "default" if there is none, and locked */
extern int32 queue_row_id(text *name);

#endif							/* SETTING_TARGET_H */
