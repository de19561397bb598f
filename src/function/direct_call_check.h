/*
 * direct_call_check.h
 *		A scheduled function is not called directly.
 */
#ifndef DEFER_DIRECT_CALL_CHECK_H
#define DEFER_DIRECT_CALL_CHECK_H

extern void direct_call_check_init(void);
extern bool direct_call_in_worker;	/* this process is a worker: calls are
									 * allowed */

/*
 * Check whether the current user may neither call nor enqueue the function,
 * because of a schedule
 */
extern bool direct_call_is_scheduled(Oid function);

/* A schedule of the function has come, gone or changed: everybody look again, at commit */
extern void direct_call_changed(Oid function);

#endif							/* DEFER_DIRECT_CALL_CHECK_H */
