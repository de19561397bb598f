/*
 * function_identity.h
 *		Settings of a function, and the function that they were made for.
 */
#ifndef DEFER_FUNCTION_IDENTITY_H
#define DEFER_FUNCTION_IDENTITY_H

#include "datatype/timestamp.h"

/* Have new functions looked at; once, when the library is loaded */
extern void function_identity_init(void);

/*
 * Remove the settings of functions that have been gone for a while and that no
 * job and no schedule names.  In the caller's transaction; by the scheduler.
 */
extern void function_identity_maintain(TimestampTz now);

#endif							/* DEFER_FUNCTION_IDENTITY_H */
