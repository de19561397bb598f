/*
 * retry_after.h
 *		The header Retry-After of an HTTP answer.  Pure: no server in it.
 */
#ifndef RETRY_AFTER_H
#define RETRY_AFTER_H

#include <stdint.h>

/*
 * Seconds to wait by the value of a Retry-After header, which is a number of
 * seconds or an HTTP date; "now" in seconds since 1970.  At most "limit".  -1:
 * it says nothing (junk, 0, a time that is over).
 */
extern int64_t retry_after_seconds(const char *value, int64_t now, int64_t limit);

#endif							/* RETRY_AFTER_H */
