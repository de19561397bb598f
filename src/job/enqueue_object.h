/*
 * enqueue_object.h
 *		Options of defer.enqueue() as members of a JSON object: job/enqueue_object.c.
 */
#ifndef ENQUEUE_OBJECT_H
#define ENQUEUE_OBJECT_H

#include "fmgr.h"
#include "utils/elog.h"
#include "utils/jsonb.h"

/*
 * Read a member into the arguments of a call that has the options only, in their order;
 * JSON null is as if it were left out.  Returns the number of the option, -1: it is none.
 * *field is set while an error would be about that value.
 */
extern int	enqueue_object_option(const JsonbValue *name, const JsonbValue *value,
								  FunctionCallInfo call, const char **field);

/*
 * A value as one of that type, which an option or a parameter has; error if it is none.  A
 * string is also an array of one.
 */
extern Datum enqueue_object_value(const JsonbValue *value, Oid type);

/* The numbers of an array, as bigint[] */
extern Datum enqueue_object_numbers(const JsonbValue *value);

/* A name that a user has chosen, fit for one line of a message */
extern char *enqueue_object_shown(const char *name, int length);

/*
 * Check whether an error is about the object, and not about the server or what
 * happens to the transaction.
 */
extern bool enqueue_object_is_wrong(const ErrorData *error);

#endif							/* ENQUEUE_OBJECT_H */
