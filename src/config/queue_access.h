/*
 * queue_access.h
 *		Which roles may put jobs into a queue, and call a function.
 */
#ifndef DEFER_QUEUE_ACCESS_H
#define DEFER_QUEUE_ACCESS_H

#include "config/settings_cache.h"

/* Check whether that role may put jobs into the queue, which exists */
extern bool queue_usable_by(const char *name, const QueueSettings *queue, Oid role);

/*
 * The settings of a queue that the role may put jobs into; an error if it may
 * not, or there is no such queue.  Good until the next look-up.
 */
extern const QueueSettings *queue_check_usable(const char *name, Oid role);

/* Check whether the current user may call a function, and so see its settings */
extern bool access_to_function(const char *signature);

#endif							/* DEFER_QUEUE_ACCESS_H */
