/*
 * metrics_format.h
 *		Samples in the text format of Prometheus: commands/metrics_format.c.
 */
#ifndef CLI_METRICS_FORMAT_H
#define CLI_METRICS_FORMAT_H

#include "core/buffer.h"

#include "libpq-fe.h"

/* A label of a sample, and the column of its value */
typedef struct Label
{
	const char *name;
	const char *column;
} Label;

typedef struct Metrics
{
	PGconn	   *conn;
	char	   *database;		/* label of all samples; one server has many */
	Buffer	   *out;
	Buffer	   *error;
	bool		failed;
} Metrics;

extern bool metrics_begin(Metrics *metrics, PGconn *conn, Buffer *out, Buffer *error);
extern bool metrics_end(Metrics *metrics);
extern PGresult *metrics_ask(Metrics *metrics, const char *sql, int n, const char *const *values);
extern void metrics_family(Metrics *metrics, const char *name, const char *type, const char *help);
extern void metrics_label_value(Metrics *metrics, const char *value);
extern void metrics_sample_begin(Metrics *metrics, const char *name);
extern void metrics_sample(Metrics *metrics, const char *name, const PGresult *res, int row,
						   const Label *labels, const char *extra, const char *extra_value,
						   const char *column);

#endif							/* CLI_METRICS_FORMAT_H */
