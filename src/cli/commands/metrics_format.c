/*
 * metrics_format.c
 *		Samples in the text format of Prometheus.
 *
 * All have the label "database": a server can have several, and a file or a scrape
 * may hold the metrics of many.
 */
#include "commands/metrics_format.h"

#include <stdlib.h>
#include <string.h>

#include "core/query.h"
#include "core/text.h"

/* Begin with the samples of a database; false: the connection failed, error says why */
bool
metrics_begin(Metrics *metrics, PGconn *conn, Buffer *out, Buffer *error)
{
	PGresult   *res;

	*metrics = (Metrics) {.conn = conn, .out = out, .error = error};
	buffer_add(out, "");
	res = metrics_ask(metrics, "SELECT pg_catalog.current_database() AS database", 0, NULL);
	if (res == NULL)
		return false;
	metrics->database = xstrdup(result_text(res, 0, "database"));
	PQclear(res);
	return true;
}

/* End with them; false: a query failed, and "out" has only a part */
bool
metrics_end(Metrics *metrics)
{
	free(metrics->database);
	return !metrics->failed;
}

/* Begin a family: its samples follow */
void
metrics_family(Metrics *metrics, const char *name, const char *type, const char *help)
{
	buffer_printf(metrics->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Append a label's value, escaped as the format wants it; always UTF-8 */
void
metrics_label_value(Metrics *metrics, const char *value)
{
	Buffer	   *out = metrics->out;
	size_t		left = strlen(value);

	while (left > 0)
	{
		uint32_t	code;
		size_t		len = text_utf8_length(value, left, &code);

		if (len == 0)
		{
			buffer_add(out, "\xef\xbf\xbd");
			len = 1;
		}
		else if (code == '\n')
			buffer_add(out, "\\n");
		else if (code == '"' || code == '\\')
			buffer_printf(out, "\\%c", (char) code);
		else if (text_is_dangerous(code))
			buffer_printf(out, "\\\\u%04x", (unsigned) code);
		else
			buffer_add_len(out, value, len);
		value += len;
		left -= len;
	}
}

/* Begin a sample: the name, and the label that all have; more labels and "}" follow */
void
metrics_sample_begin(Metrics *metrics, const char *name)
{
	buffer_printf(metrics->out, "%s{database=\"", name);
	metrics_label_value(metrics, metrics->database);
	buffer_char(metrics->out, '"');
}

/*
 * Append a sample with the value of a column; NULL: no sample.  extra: a label
 * with a constant value, or NULL.
 */
void
metrics_sample(Metrics *metrics, const char *name, const PGresult *res, int row,
			   const Label *labels, const char *extra, const char *extra_value,
			   const char *column)
{
	const char *value = result_value(res, row, column);

	if (value == NULL)
		return;
	metrics_sample_begin(metrics, name);
	for (; labels != NULL && labels->name != NULL; labels++)
	{
		buffer_printf(metrics->out, ",%s=\"", labels->name);
		metrics_label_value(metrics, result_text(res, row, labels->column));
		buffer_char(metrics->out, '"');
	}
	if (extra != NULL)
		buffer_printf(metrics->out, ",%s=\"%s\"", extra, extra_value);
	buffer_printf(metrics->out, "} %s\n", value);
}

/* Execute a query; NULL: it, or one before it, failed */
PGresult *
metrics_ask(Metrics *metrics, const char *sql, int n, const char *const *values)
{
	PGresult   *res;

	if (metrics->failed)
		return NULL;
	res = query_try(metrics->conn, sql, n, values);
	if (PQresultStatus(res) == PGRES_TUPLES_OK)
		return res;
	result_error(metrics->error, metrics->conn, res);
	PQclear(res);
	metrics->failed = true;
	return NULL;
}
