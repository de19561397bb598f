/*
 * subtransaction.h
 *		Running a part of a transaction that may fail: base/subtransaction.c.
 */
#ifndef DEFER_SUBTRANSACTION_H
#define DEFER_SUBTRANSACTION_H

#include "utils/elog.h"

/*
 * Run a function in a subtransaction.  Returns NULL, or the error that has rolled
 * it back, in the current memory context.  This context and the resource owner are
 * set while it runs, and afterwards.  The function must not catch errors of its own
 * transaction.
 */
extern ErrorData *subtransaction_try(void (*run) (void *arg), void *arg);

/*
 * Check for an error that says nothing about the work that raised it: the process
 * is to stop, or a lock was not to be had.  Callers throw it again.
 */
extern bool subtransaction_interrupted(const ErrorData *error);

#endif							/* DEFER_SUBTRANSACTION_H */
