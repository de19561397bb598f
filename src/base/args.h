/*
 * args.h
 *		Arguments of SQL functions that many files read in the same way.
 */
#ifndef DEFER_ARGS_H
#define DEFER_ARGS_H

#include "fmgr.h"
#include "utils/timestamp.h"

/* Longest time that a setting may have: 100 years */
#define SETTING_TIME_MAX	(INT64CONST(100) * 365 * USECS_PER_DAY)

/*
 * Microseconds of an interval, a month as 30 days, a day as 24 hours.  Error
 * if it is negative, infinite or over SETTING_TIME_MAX; "name" is for the
 * message.
 */
extern int64 setting_interval(const char *name, const Interval *interval);

/* A text argument; NULL if it is NULL, or an error that names the parameter */
extern char *args_text(FunctionCallInfo fcinfo, int n);
extern char *args_required_text(FunctionCallInfo fcinfo, int n, const char *name);

/*
 * A bigint argument that has to fit into an integer, which is not NULL: drivers send
 * integers of any size.  "name" is for the message.
 */
extern int32 args_int32(FunctionCallInfo fcinfo, int n, const char *name);

/*
 * The elements of an array of text, or of varchar: where text[] is expected the server
 * passes varchar[] as it is.
 */
extern void args_text_array(Datum array, Datum **values, bool **nulls, int *n);

/*
 * Error unless the name of an object, a "queue" or the like, has 1 to "max"
 * bytes and no control characters.
 */
extern void args_check_name(const char *object, const char *name, int max);

/* Error that names the parameter if argument n is NULL */
extern void require_argument(FunctionCallInfo fcinfo, int n, const char *name);

#endif							/* DEFER_ARGS_H */
