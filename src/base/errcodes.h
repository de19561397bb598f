/*
 * errcodes.h
 *		SQLSTATEs of our own, class DF.  doc/reference.md lists them.
 */
#ifndef DEFER_ERRCODES_H
#define DEFER_ERRCODES_H

#include "utils/elog.h"

/* Raised inside a job, by defer.snooze() and defer.give_up() */
#define ERRCODE_JOB_SNOOZED		MAKE_SQLSTATE('D', 'F', '0', '0', '1')
#define ERRCODE_JOB_GIVEN_UP	MAKE_SQLSTATE('D', 'F', '0', '0', '2')

/* The end of a pass of a procedure that waits in a step */
#define ERRCODE_JOB_WAITS		MAKE_SQLSTATE('D', 'F', '0', '0', '3')

/* Raised by defer.await() */
#define ERRCODE_JOB_CANCELLED	MAKE_SQLSTATE('D', 'F', '0', '1', '0')
#define ERRCODE_JOB_DISCARDED	MAKE_SQLSTATE('D', 'F', '0', '1', '1')
#define ERRCODE_AWAIT_TIMEOUT	MAKE_SQLSTATE('D', 'F', '0', '1', '2')

/* The end of a delivery: the server has answered, and not with success */
#define ERRCODE_DELIVERY_ANSWER	MAKE_SQLSTATE('D', 'F', '0', '2', '0')

/* Raised to a worker outside of the server; the transaction then cannot commit */
#define ERRCODE_LEASE_LOST		MAKE_SQLSTATE('D', 'F', '0', '3', '0')
#define ERRCODE_LEASE_CANCELLED	MAKE_SQLSTATE('D', 'F', '0', '3', '1')
#define ERRCODE_LEASE_ENDED		MAKE_SQLSTATE('D', 'F', '0', '3', '2')

/* Raised by what enqueues: max_queued of a function or queue is reached */
#define ERRCODE_QUEUE_FULL		MAKE_SQLSTATE('D', 'F', '0', '4', '0')

#endif							/* DEFER_ERRCODES_H */
