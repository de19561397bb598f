/*
 * search.c
 *		Lists of jobs that pass a filter.
 *
 * A list goes down by id, from a key: the work for a page does not depend on how
 * far down it is.  Where few rows pass the filter the search stops after a while
 * and says how far it came; the next page goes on from there.
 */
#include "dashboard/pages.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "dashboard/bulk.h"
#include "dashboard/filter.h"
#include "dashboard/html.h"
#include "dashboard/parts.h"

#define PAGE_ROWS			50

/* Ids that one query looks at: at first, at most; seconds for all queries */
#define FIRST_WINDOW		2000
#define FIRST_WINDOW_ALL	400
#define LAST_WINDOW			50000
#define SEARCH_TIME			0.12

#define JOB_COLUMNS \
	"j.id, j.function, j.state, j.queue, j.group_key, j.run_at, j.enqueued_at, j.started_at, j.finished_at," \
	" pg_catalog.date_part('epoch', j.duration) AS seconds, j.attempt, j.max_attempts," \
	" pg_catalog.left(j.error, 200) AS error, j.progress, j.schedule, pg_catalog.left(j.args::text, 120) AS args"

/* Parameters of the statements */
enum
{
	BELOW,						/* $1: ids below this one */
	FROM,						/* $2: and not below this one */
	STATE,						/* $3; from here on the filter, NULL passes
								 * all */
	PATTERN,					/* $4: of the function's name, for ILIKE */
	QUEUE,						/* $5 */
	ERROR_TEXT,					/* $6: a part of the error, or the SQLSTATE */
	METADATA,					/* $7: contained in it */
	PARENT,						/* $8 */
	SIGNATURE,					/* $9: the function, exactly */
	GROUP_KEY,					/* $10 */
	ARGS,						/* $11: contained in them */
	KEY,						/* $12 */
	OWNER,						/* $13 */
	ENDED_SINCE,				/* $14; of unfinished jobs, enqueued */
	ENDED_UNTIL,				/* $15 */
	NSCANNED,					/* parameters of a search in windows */
	SCHEDULE = NSCANNED,		/* $16: id; where the server has an index only */
	FINGERPRINT,				/* $17: of the error, likewise */
	NVALUES
};

#define JOB_FILTER \
	" ($3::text IS NULL OR j.state = $3) AND ($4::text IS NULL OR j.function ILIKE $4 OR j.function = $9)" \
	" AND ($5::text IS NULL OR j.queue = $5)" \
	" AND ($6::text IS NULL OR j.sqlstate = $6 OR pg_catalog.strpos(pg_catalog.lower(j.error), pg_catalog.lower($6)) > 0)" \
	" AND ($7::jsonb IS NULL OR j.metadata @> $7::jsonb) AND ($8::bigint IS NULL OR j.parent_id = $8)" \
	" AND ($10::text IS NULL OR j.group_key = $10) AND ($11::jsonb IS NULL OR j.args @> $11::jsonb" \
	" OR (pg_catalog.jsonb_typeof($11::jsonb) NOT IN ('array', 'object')" \
	" AND pg_catalog.jsonb_path_exists(j.args, '$.* ? (@ == $v)', pg_catalog.jsonb_build_object('v', $11::jsonb), true)))" \
	" AND ($12::text IS NULL OR j.key = $12) AND ($13::text IS NULL OR j.owner = $13)" \
	" AND ($14::timestamptz IS NULL OR COALESCE(j.finished_at, j.enqueued_at) >= $14::timestamptz)" \
	" AND ($15::timestamptz IS NULL OR COALESCE(j.finished_at, j.enqueued_at) < $15::timestamptz)"

typedef struct Search
{
	const char *values[NVALUES];
	char		below_text[24];
	char		from_text[24];
	int64_t		below;			/* ids to search: from .. below - 1 */
	int64_t		from;
	int			found;
	int64_t		lowest;			/* how far down the search came */
	bool		more;			/* there may be more */
	bool		filtered;
} Search;

/* ------------------------------------------------------------------------
 * Rows
 * ------------------------------------------------------------------------ */

static void
job_row(Page *page, const PGresult *res, int row)
{
	Buffer	   *out = page->out;
	const char *state = result_text(res, row, "state");
	const char *id = result_text(res, row, "id");
	const char *when = result_value(res, row, "finished_at");
	bool		failed = strcmp(state, "failed") == 0 || strcmp(state, "retrying") == 0;

	if (when == NULL)
		when = result_value(res, row, strcmp(state, "running") == 0 ? "started_at" : "run_at");
	html_add(out, "<tr><td class=\"num\"><a href=\"/job?id=%s\">%s</a></td><td>", id, id);
	html_function(out, result_text(res, row, "function"));
	if (result_value(res, row, "schedule") != NULL)
		html_add(out, " <span class=\"tag\">%s</span>", result_text(res, row, "schedule"));
	buffer_add(out, "</td><td>");
	html_state(out, state);
	if (result_value(res, row, "progress") != NULL)
		html_add(out, " <progress max=\"1\" value=\"%s\">%.0f %%</progress>", result_text(res, row, "progress"),
				 100 * result_number(res, row, "progress"));
	html_add(out, "</td><td class=\"cut\"><code>%s</code>", result_text(res, row, "args"));
	if (failed && result_value(res, row, "error") != NULL)
		html_add(out, "<span class=\"is-bad\">%s</span>", result_text(res, row, "error"));
	html_add(out, "</td><td>%s", result_text(res, row, "queue"));
	if (result_value(res, row, "group_key") != NULL)
		html_add(out, " <span class=\"tag\">%s</span>", result_text(res, row, "group_key"));
	html_add(out, "</td><td class=\"num\">%s<span class=\"quiet\">/%s</span></td><td class=\"num\">",
			 result_text(res, row, "attempt"), result_text(res, row, "max_attempts"));
	if (result_value(res, row, "seconds") != NULL)
		html_seconds(out, result_number(res, row, "seconds"));
	buffer_add(out, "</td><td>");
	html_time(out, when, page->now);
	buffer_add(out, "</td></tr>\n");
}

/* Append the rows of a result, until the page is full */
static void
show_rows(Page *page, const PGresult *res, Search *search)
{
	static const char *const titles[] = {
		"#Id", "Function", "State", "Arguments, and error", "Queue", "#Attempt", "#Duration", "When", NULL
	};

	for (int i = 0; i < PQntuples(res) && search->found < PAGE_ROWS; i++)
	{
		if (search->found++ == 0)
			part_table_begin(page, titles, "jobs");
		job_row(page, res, i);
		search->lowest = result_int64(res, i, "id");
		if (search->found == PAGE_ROWS)
			search->more = true;
	}
}

/* ------------------------------------------------------------------------
 * The range of ids
 * ------------------------------------------------------------------------ */

/* Set an id to the only column of a row; no row, or NULL: it stays as it is */
static bool
query_id(Page *page, const char *sql, int n, const char *const *values, int64_t *id)
{
	PGresult   *res = page_query(page, sql, n, values);
	bool		good = result_good(res);

	if (good && PQntuples(res) > 0 && !PQgetisnull(res, 0, 0))
		*id = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
	PQclear(res);
	return good;
}

/*
 * Set id to the lowest id whose job was enqueued at a time or later.  Ids rise
 * with the time of enqueueing, but for transactions that overlap, so the ids are
 * halved until the place is found.  False: the time is not valid.
 */
static bool
id_of_time(Page *page, const char *time, int64_t *id)
{
	static const char *const sql =
		"WITH RECURSIVE t AS (SELECT CASE WHEN $1 ~ '^\\s*-' THEN pg_catalog.statement_timestamp() + $1::interval ELSE $1::timestamptz END AS at),"
		" s (lo, hi, n) AS ("
		" SELECT (SELECT j.id FROM defer.jobs j ORDER BY j.id LIMIT 1), (SELECT j.id + 1 FROM defer.jobs j ORDER BY j.id DESC LIMIT 1), 0"
		" UNION ALL"
		" SELECT CASE WHEN m.enqueued_at < t.at THEN GREATEST(m.id, s.lo + (s.hi - s.lo) / 2) + 1 ELSE s.lo END,"
		" CASE WHEN m.enqueued_at < t.at THEN s.hi ELSE s.lo + (s.hi - s.lo) / 2 END, s.n + 1"
		" FROM s CROSS JOIN t CROSS JOIN LATERAL"
		" (SELECT j.id, j.enqueued_at FROM defer.jobs j WHERE j.id >= s.lo + (s.hi - s.lo) / 2 ORDER BY j.id LIMIT 1) m"
		" WHERE s.lo < s.hi AND s.n < 64)"
		" SELECT s.lo FROM s, t WHERE t.at IS NOT NULL ORDER BY s.n DESC LIMIT 1";

	return query_id(page, sql, 1, &time, id);
}

/*
 * Set the range of ids to search.  False: a field of the filter is not valid,
 * and nothing may be shown; the page says what the server said.
 */
static bool
read_range(Page *page, Search *search)
{
	/* each is converted, so that errors show whatever is searched then */
	static const char *const check_sql =
		"SELECT $1::bigint AS before, $2::bigint AS parent, $3::bigint AS schedule, $4::jsonb AS metadata,"
		" $5::jsonb AS args, $6::timestamptz AS ended_since, $7::timestamptz AS ended_until";
	const char *since = request_query(page->request, "since");
	const char *until = request_query(page->request, "until");
	const char *values[] = {
		request_query(page->request, "before"), search->values[PARENT], search->values[SCHEDULE],
		search->values[METADATA], search->values[ARGS], search->values[ENDED_SINCE],
		search->values[ENDED_UNTIL]
	};
	PGresult   *res = page_query(page, check_sql, lengthof(values), values);
	int64_t		parent = result_int64(res, 0, "parent");
	int64_t		id;
	bool		good = result_good(res);

	search->below = result_int64(res, 0, "before");
	PQclear(res);
	good = good && query_id(page, "SELECT j.id FROM defer.jobs j ORDER BY j.id LIMIT 1", 0, NULL, &search->from);
	if (good && values[0] == NULL)
		good = query_id(page, "SELECT j.id + 1 FROM defer.jobs j ORDER BY j.id DESC LIMIT 1", 0, NULL, &search->below);
	if (good && since != NULL)
	{
		id = search->from;
		good = id_of_time(page, since, &id);
		if (id > search->from)
			search->from = id;
	}
	if (good && until != NULL)
	{
		id = search->below;
		good = id_of_time(page, until, &id);
		if (id < search->below)
			search->below = id;
	}
	if (good && search->values[ENDED_UNTIL] != NULL)
	{
		/* what ended before was enqueued before */
		id = search->below;
		good = id_of_time(page, search->values[ENDED_UNTIL], &id);
		if (id < search->below)
			search->below = id;
	}
	/* children are younger than their parent */
	if (parent > search->from)
		search->from = parent;
	return good;
}

/* ------------------------------------------------------------------------
 * Searching
 * ------------------------------------------------------------------------ */

/* Report whether the server has an index for the filter */
static bool
is_indexed(const Search *search)
{
	const char *state = search->values[STATE];

	return (state != NULL && strcmp(state, "succeeded") != 0) || search->values[ERROR_TEXT] != NULL ||
		search->values[PARENT] != NULL || search->values[SIGNATURE] != NULL ||
		search->values[SCHEDULE] != NULL || search->values[FINGERPRINT] != NULL;
}

/* Search downwards, in windows of ids that grow, as long as a page may take */
static void
search_windows(Page *page, Search *search)
{
	double		begun = clock_seconds();
	int64_t		window = search->filtered ? FIRST_WINDOW : FIRST_WINDOW_ALL;
	int64_t		below = search->below;

	while (search->found < PAGE_ROWS && below > search->from &&
		   clock_seconds() - begun < SEARCH_TIME)
	{
		int64_t		from = below - search->from > window ? below - window : search->from;
		PGresult   *res;

		snprintf(search->below_text, sizeof(search->below_text), "%lld", (long long) below);
		snprintf(search->from_text, sizeof(search->from_text), "%lld", (long long) from);
		res = page_query(page, "SELECT " JOB_COLUMNS " FROM defer.jobs j WHERE j.id < $1::bigint AND j.id >= $2::bigint AND"
						 JOB_FILTER " ORDER BY j.id DESC LIMIT 51", NSCANNED, search->values);
		if (!result_good(res))
		{
			PQclear(res);
			return;
		}
		search->lowest = from;
		show_rows(page, res, search);
		if (PQntuples(res) == 0 && !search->filtered)
		{
			/* a gap in the ids: skip it */
			const char *gap[] = {search->from_text};

			from = search->from;
			(void) query_id(page, "SELECT j.id + 1 FROM defer.jobs j WHERE j.id < $1::bigint ORDER BY j.id DESC LIMIT 1",
							1, gap, &from);
		}
		PQclear(res);
		below = from;
		if (window < LAST_WINDOW)
			window *= 2;
	}
	if (below > search->from)
		search->more = true;
}

/*
 * Search by index.  Of a function of which only a part of the name is known, more
 * ids are fetched and then filtered.
 */
static void
search_indexed(Page *page, Search *search)
{
	static const char *const sql =
		"WITH i AS MATERIALIZED (SELECT f.id FROM defer.find_jobs("
		"states => CASE WHEN $3::text IS NOT NULL THEN ARRAY[$3] END, function => $9, queue => $5, error => $6,"
		" metadata => $7::jsonb, parent_id => $8::bigint, schedule_id => $16::bigint, group_key => $10,"
		" args => $11::jsonb, key => $12, owner => $13,"
		" since => $14::timestamptz, until => $15::timestamptz, fingerprint => $17,"
		" before => $1::bigint, n => CASE WHEN $4::text IS NOT NULL AND $9::text IS NULL THEN 1000 ELSE 50 END) f (id)),"
		" c AS (SELECT pg_catalog.count(*) AS looked, pg_catalog.min(i.id) AS lowest FROM i)"
		" SELECT " JOB_COLUMNS ", c.looked, c.lowest FROM c"
		" LEFT JOIN defer.jobs j ON j.id = ANY (ARRAY(SELECT i.id FROM i)) AND j.id >= $2::bigint AND" JOB_FILTER
		" ORDER BY j.id DESC NULLS LAST LIMIT 50";
	PGresult   *res;

	snprintf(search->below_text, sizeof(search->below_text), "%lld", (long long) search->below);
	snprintf(search->from_text, sizeof(search->from_text), "%lld", (long long) search->from);
	res = page_query(page, sql, NVALUES, search->values);
	if (result_good(res) && PQntuples(res) > 0)
	{
		int64_t		looked = result_int64(res, 0, "looked");
		int64_t		lowest = result_int64(res, 0, "lowest");

		if (result_value(res, 0, "id") != NULL)
			show_rows(page, res, search);
		if (search->found < PAGE_ROWS)
		{
			search->lowest = lowest;
			search->more = lowest > search->from && (looked == 1000 || looked == PAGE_ROWS);
		}
	}
	PQclear(res);
}

/* ------------------------------------------------------------------------
 * The page
 * ------------------------------------------------------------------------ */

/* Append a link to this page with another key */
static void
page_link(Page *page, int64_t before, const char *label, const char *id)
{
	Buffer	   *out = page->out;

	html_add(out, "<a class=\"button\" rel=\"next\" id=\"%s\" href=\"", id);
	filter_address(out, page->request, "before");
	html_add(out, "before=%lld\">%s</a>", (long long) before, label);
}

static void
show_found(Page *page, Search *search)
{
	if (is_indexed(search))
		search_indexed(page, search);
	else
		search_windows(page, search);
	if (search->found > 0)
		part_table_end(page);
	else if (!search->more)
		part_empty(page, request_query(page->request, "before") != NULL ? "There are no more jobs." :
				   search->filtered ? "No job passes the filter." : "There are no jobs.");
	buffer_add(page->out, "<nav class=\"pager\" aria-label=\"Pages of jobs\">");
	if (search->more && search->found < PAGE_ROWS)
	{
		html_add(page->out, "<p class=\"quiet\">Searched ids down to %lld", (long long) search->lowest);
		buffer_add(page->out, search->found > 0 ? ".</p>" : ", none found yet.</p>");
		page_link(page, search->lowest, "Search further", "further");
	}
	else if (search->more)
		page_link(page, search->lowest, "Older jobs", "older");
	buffer_add(page->out, "</nav>");
}

/* /jobs: the jobs that pass the filter of the address, the newest first */
void
page_jobs(Page *page)
{
	Request    *request = page->request;
	const char *function = request_query(request, "function");
	char	   *function_pattern = filter_pattern(function);
	Search		search = {0};

	search.values[BELOW] = search.below_text;
	search.values[FROM] = search.from_text;
	search.values[STATE] = request_query(request, "state");
	search.values[PATTERN] = function_pattern;
	search.values[QUEUE] = request_query(request, "queue");
	search.values[ERROR_TEXT] = request_query(request, "error");
	search.values[METADATA] = request_query(request, "metadata");
	search.values[PARENT] = request_query(request, "parent");
	search.values[GROUP_KEY] = request_query(request, "group");
	search.values[SCHEDULE] = request_query(request, "schedule");
	search.values[ARGS] = request_query(request, "args");
	search.values[KEY] = request_query(request, "key");
	search.values[OWNER] = request_query(request, "owner");
	search.values[FINGERPRINT] = request_query(request, "fingerprint");
	search.values[ENDED_SINCE] = request_query(request, "ended_since");
	search.values[ENDED_UNTIL] = request_query(request, "ended_until");

	/* a whole signature, or the name of a delivery */
	if (function != NULL && (strchr(function, '(') != NULL || strncmp(function, "defer.", 6) == 0))
		search.values[SIGNATURE] = function;
	for (int i = STATE; i < NVALUES; i++)
		search.filtered |= search.values[i] != NULL;
	buffer_add(page->out, "<div class=\"title\"><h1>Jobs</h1>"
			   "<form method=\"get\" action=\"/job\" class=\"jump\" role=\"search\" aria-label=\"Go to a job\"><label for=\"jump\">Job</label>"
			   "<input id=\"jump\" name=\"id\" inputmode=\"numeric\" pattern=\"[0-9]+\" required size=\"10\" placeholder=\"id\"><button>Go</button></form></div>\n");
	filter_form(page);
	filter_tabs(page);
	buffer_add(page->out, "<section class=\"card\" aria-label=\"Jobs found\">\n");
	if (read_range(page, &search))
	{
		bulk_links(page);
		show_found(page, &search);
	}
	buffer_add(page->out, "</section>\n");
	free(function_pattern);
}
