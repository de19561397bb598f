/*
 * metrics.h
 *		Metrics in the text format of Prometheus.
 */
#ifndef CLI_METRICS_H
#define CLI_METRICS_H

#include "core/buffer.h"

#include "libpq-fe.h"

/* What bounds the number of series; NULL: the default */
typedef struct MetricsLimits
{
	const char *groups;			/* that have series of their own */
	const char *functions;		/* that have histograms, in each of their
								 * queues */
	const char *buckets;		/* of histograms: few, all or none */
} MetricsLimits;

extern const char *metrics_check_limits(MetricsLimits *limits);
extern bool metrics_collect(PGconn *conn, const MetricsLimits *limits, Buffer *out, Buffer *error);

#endif							/* CLI_METRICS_H */
