/*
 * session_wait.h
 *		Procedures that wait without a snapshot: they commit, sleep on the latch of the
 *		session, and do in between what a session does between two statements.
 */
#ifndef DEFER_SESSION_WAIT_H
#define DEFER_SESSION_WAIT_H

#include "fmgr.h"

#include "base/wait_events.h"

/* Longest sleep (microseconds) */
#define SESSION_SLEEP_MAX	(INT64CONST(3600) * USECS_PER_SEC)

/* Refuse what could not commit, and so would hold a snapshot; "what" is waited for */
extern void session_wait_check(FunctionCallInfo fcinfo, const char *what);

/*
 * Begin to work in transactions of one's own: what is allocated from now on outlives them,
 * until session_wait_close().  Returns the memory context of the call.
 */
extern MemoryContext session_wait_open(void);

/*
 * End that, and return the row of the procedure's outputs, whose values must be in the
 * memory context of the call.  The caller's time begins now.
 */
extern Datum session_wait_close(FunctionCallInfo fcinfo, MemoryContext context, Datum *values,
								bool *nulls);

/* The argument "timeout" (microseconds); -1: none */
extern int64 session_wait_timeout(FunctionCallInfo fcinfo, int n);

/*
 * When a wait of so many microseconds, negative: without end, is over, on the monotonic
 * clock: no later than shortly before a time limit of the server.
 */
extern int64 session_wait_end(int64 timeout);

/*
 * Sleep up to so many microseconds, until the latch is set.  A client that has gone ends
 * the session at the next check for interrupts.
 */
extern void session_wait_sleep(int64 time, DeferWaitEvent event);

/* Check for interrupts, read settings and invalidations; returns whether settings were read */
extern bool session_wait_serve(void);

#endif							/* DEFER_SESSION_WAIT_H */
