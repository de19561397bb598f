/*
 * throttle.h
 *		Failed logins: how many there may be.
 */
#ifndef DASHBOARD_THROTTLE_H
#define DASHBOARD_THROTTLE_H

#include "core/base.h"

extern void throttle_init(void);
extern bool throttle_allows(const char *address, const char *role);
extern void throttle_failed(const char *address, const char *role);

#endif							/* DASHBOARD_THROTTLE_H */
