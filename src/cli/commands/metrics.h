/*
 * metrics.h
 *		Metrics in the text format of Prometheus.
 */
#ifndef CLI_METRICS_H
#define CLI_METRICS_H

#include "core/buffer.h"

#include "libpq-fe.h"

extern bool metrics_collect(PGconn *conn, Buffer *out, Buffer *error);

#endif							/* CLI_METRICS_H */
