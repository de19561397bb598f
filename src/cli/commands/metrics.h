/*
 * metrics.h
 *		Metrics in the text format of Prometheus.
 */
#ifndef CLI_METRICS_H
#define CLI_METRICS_H

#include "core/buffer.h"

#include "libpq-fe.h"

/* Groups that have series of their own, unless an option says how many */
#define METRICS_GROUPS	"10"

extern bool metrics_collect(PGconn *conn, const char *groups, Buffer *out, Buffer *error);

#endif							/* CLI_METRICS_H */
