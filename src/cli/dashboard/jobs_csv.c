/*
 * jobs_csv.c
 *		The list of the page Jobs as a file of comma-separated values.
 */
#include "dashboard/pages.h"

#include <string.h>

#include "dashboard/search.h"

/* Limits, as the file is held in memory; seconds that the search may take */
#define CSV_ROWS	10000
#define CSV_BYTES	16000000
#define SEARCH_TIME	1.5

/* Columns in the order of the file; long texts are cut */
#define CSV_COLUMNS \
	"j.id, j.function, j.state, j.queue, j.priority, j.owner, j.group_key, j.key, j.schedule, j.parent_id, j.rerun_of," \
	" j.attempt, j.max_attempts, j.enqueued_at, j.run_at, j.started_at, j.finished_at," \
	" pg_catalog.date_part('epoch', j.duration) AS seconds, j.sqlstate, pg_catalog.left(j.error, 1000) AS error," \
	" pg_catalog.left(j.args::text, 1000) AS args, pg_catalog.left(j.result::text, 1000) AS result," \
	" pg_catalog.left(j.metadata::text, 1000) AS metadata"

static const char *const columns[] = {
	"id", "function", "state", "queue", "priority", "owner", "group_key", "key", "schedule", "parent_id", "rerun_of",
	"attempt", "max_attempts", "enqueued_at", "run_at", "started_at", "finished_at", "seconds", "sqlstate", "error",
	"args", "result", "metadata"
};

/* Check whether a spreadsheet would take a text for a formula that begins so */
static bool
begins_formula(const char *value)
{
	static const char *const wide[] = {"\uff1d", "\uff0b", "\uff0d", "\uff20"};

	for (size_t i = 0; i < lengthof(wide); i++)
		if (strncmp(value, wide[i], strlen(wide[i])) == 0)
			return true;
	return value[0] != '\0' && strchr("=+-@\t\r\n", value[0]) != NULL;
}

/*
 * Append a value.  Others choose the texts, and some are formulas to a spreadsheet: an
 * apostrophe comes before them, also where a program would divide a text in spite of its
 * quotation marks.  Numbers of jobs are not below 0, but their priorities are.
 */
static void
csv_value(Buffer *out, const char *value, bool number)
{
	bool		begins = !number;

	buffer_char(out, '"');
	for (; *value != '\0'; value++)
	{
		if (begins && begins_formula(value))
			buffer_char(out, '\'');
		begins = !number && strchr(";,\t\r\n", *value) != NULL;
		if (*value == '"')
			buffer_char(out, '"');
		buffer_char(out, *value);
	}
	buffer_char(out, '"');
}

/* Append the line of a job; NULL is nothing, without quotation marks */
static void
csv_row(Page *page, const PGresult *res, int row)
{
	for (size_t i = 0; i < lengthof(columns); i++)
	{
		const char *value = result_value(res, row, columns[i]);

		if (i > 0)
			buffer_char(page->out, ',');
		if (value != NULL)
			csv_value(page->out, value, strcmp(columns[i], "priority") == 0);
	}
	buffer_add(page->out, "\r\n");
}

/* /jobs.csv: a file that says in its name if there are more */
void
page_jobs_csv(Page *page)
{
	Search		search;

	for (size_t i = 0; i < lengthof(columns); i++)
	{
		if (i > 0)
			buffer_char(page->out, ',');
		buffer_add(page->out, columns[i]);
	}
	buffer_add(page->out, "\r\n");
	search_begin(&search, page->request, CSV_COLUMNS, CSV_ROWS, SEARCH_TIME, csv_row);
	search.bytes = CSV_BYTES;
	if (search_run(page, &search) && !page->timed_out)
		page->request->file = search.more ?
			xprintf("jobs-%s-%lld.csv", search.oldest_first ? "up-to" : "down-to", (long long) search.reached) :
			xstrdup("jobs.csv");
	search_end(&search);
}
