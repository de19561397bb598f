/*
 * setting_values.h
 *		The settings that rows of defer.function and defer.queue have in common:
 *		their checks, and writing them.
 */
#ifndef SETTING_VALUES_H
#define SETTING_VALUES_H

#include "fmgr.h"

#include "config/settings_cache.h"

/* How a setting's value is checked */
typedef enum SettingType
{
	SETTING_QUEUE,				/* text: a queue that the current user may use */
	SETTING_AT_LIMIT,			/* text: keep or cancel */
	SETTING_PRIORITY,			/* integer */
	SETTING_COUNT,				/* integer, 1 or more */
	SETTING_CONCURRENCY,		/* the same, with a hint of its own */
	SETTING_FACTOR,				/* double precision, 1 or more */
	SETTING_SHARE,				/* double precision, 0 to 1 */
	SETTING_TIME,				/* interval, 0 or more */
	SETTING_TIME_NOT_0,			/* interval, more than 0 */
	SETTING_GROUP_BY,			/* text: a parameter, or metadata.<name> */
	SETTING_RATE,				/* text: see config/rate_text.h */
	SETTING_BURST,				/* integer, 1 to RATE_BURST_MAX */
	SETTING_RESERVED,			/* integer, 0 or more; of queues */
	SETTING_ORDER,				/* text: strict or none */
	SETTING_ON_FAILURE,			/* text: skip or hold */
	SETTING_CAP					/* integer, 1 or more: max_queued */
} SettingType;

/* A column, which is the SQL function's parameter of that name, too */
typedef struct SettingColumn
{
	const char *name;
	SettingType type;
} SettingColumn;

/* A table whose rows have settings */
typedef struct SettingTable
{
	const char *name;			/* of the table in the schema defer */
	const char *key;			/* the column that names a row; text */
	char		limit_kind;		/* for xact_notify_limit() */
	int			ncolumns;
	const SettingColumn *columns;
} SettingTable;

/* What writing a row has found and left */
typedef struct SettingRow
{
	int32		id;
	int32		limit;			/* LIMIT_NONE, LIMIT_PAUSED or more */
	bool		rated;			/* it has a rate */
	bool		strict;			/* group_order */
	bool		cancels;		/* at_limit */
	int32		caps;			/* 1: max_queued, 2: group_max_queued; their
								 * sum */
} SettingRow;

/*
 * The value of a setting that argument n gives, of the type of its column: parameters
 * are bigint where the column is an integer.  Error if it does not fit.
 */
extern Datum setting_value(const SettingColumn *column, FunctionCallInfo fcinfo, int n);

/*
 * Check the arguments first .. first + ncolumns - 1.  Return true if any of
 * them is given
 */
extern bool setting_values_check(const SettingTable *table, FunctionCallInfo fcinfo, int first);

/*
 * Write the settings given in those arguments, or (fcinfo NULL) none, and
 * "paused" if it is not NULL; "reset" makes all the others NULL.  Tells the
 * other processes at commit.  False: there is no row of that key.  Runs
 * between own_sql_begin() and own_sql_end(), in SPI.
 */
extern bool setting_values_write(const SettingTable *table, text *key, FunctionCallInfo fcinfo,
								 int first, bool reset, const bool *paused, SettingRow *row);

/* The argument of a setting, which must be one; the first setting is at "first" */
extern int	setting_argument(const SettingTable *table, int first, const char *name);

/* A number for a new row of the table, in SPI as above */
extern int32 setting_unused_id(const SettingTable *table);

#endif							/* SETTING_VALUES_H */
