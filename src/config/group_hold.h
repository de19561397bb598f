/*
 * group_hold.h
 *		Groups with an order: jobs leave it, and groups are held because one has failed.
 *		See config/group_hold.c.
 */
#ifndef GROUP_HOLD_H
#define GROUP_HOLD_H

#include "base/job.h"

/*
 * A job that is in the order of a group leaves it: jobs after it may be the first when this
 * transaction commits.
 */
extern void group_order_left(const Job *job);

/*
 * The same of one that ends in that state: if it has failed, and its function or queue has
 * on_group_failure => 'hold', the jobs after it are held.
 */
extern void group_order_end(const Job *job, char state);

/* settings_limits.c: check whether one that fails does so, by the settings as they are */
extern bool group_order_holds(const Job *job);

/* group_settings.c: let all groups of a function or queue go on; in SPI, as its owner */
extern void group_holds_delete(char kind, int32 id);

#endif							/* GROUP_HOLD_H */
