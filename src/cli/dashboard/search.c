/*
 * search.c
 *		Jobs that pass the filter of an address, for the page Jobs and for CSV.
 *
 * A list goes down by id, from a key, or up: the work for a page does not depend on
 * how far it is.  Where few rows pass the filter the search stops after a while
 * and says how far it came; the next page goes on from there.  Another order would
 * read all jobs that pass the filter.
 */
#include "dashboard/search.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "dashboard/filter.h"
#include "dashboard/parts.h"

/* Ids that one query looks at: at first, at most */
#define FIRST_WINDOW		2000
#define FIRST_WINDOW_ALL	400
#define LAST_WINDOW			50000

/* Ids that are fetched at least where they are then filtered by a part of a name */
#define FOUND_OF_PATTERN	1000

/* Unfinished jobs that one query looks at, from the oldest on */
#define LIVE_CHUNK			5000

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

/* ------------------------------------------------------------------------
 * The filter
 * ------------------------------------------------------------------------ */

/*
 * Set up a search by the address.  The rows are those of the columns (of "j", with
 * the id); each is given to row().  search_end() frees it.
 */
void
search_begin(Search *search, const Request *request, const char *columns, int wanted,
			 double seconds, SearchRow row)
{
	static const struct
	{
		int			value;
		const char *field;
	}			fields[] = {
		{STATE, "state"}, {QUEUE, "queue"}, {ERROR_TEXT, "error"}, {METADATA, "metadata"},
		{PARENT, "parent"}, {GROUP_KEY, "group"}, {SCHEDULE, "schedule"}, {ARGS, "args"},
		{KEY, "key"}, {OWNER, "owner"}, {FINGERPRINT, "fingerprint"},
		{ENDED_SINCE, "ended_since"}, {ENDED_UNTIL, "ended_until"},
	};
	const char *function = request_query(request, "function");
	const char *order = request_query(request, "order");

	memset(search, 0, sizeof(*search));
	search->columns = columns;
	search->wanted = wanted;
	search->seconds = seconds;
	search->row = row;
	search->values[BELOW] = search->below_text;
	search->values[FROM] = search->from_text;
	for (size_t i = 0; i < lengthof(fields); i++)
		search->values[fields[i].value] = request_query(request, fields[i].field);
	search->pattern = filter_pattern(function);
	search->values[PATTERN] = search->pattern;
	/* a whole signature, or the name of a delivery */
	if (function != NULL && (strchr(function, '(') != NULL || strncmp(function, "defer.", 6) == 0))
		search->values[SIGNATURE] = function;
	for (int i = STATE; i < NVALUES; i++)
		search->filtered |= search->values[i] != NULL;
	search->oldest_first = order != NULL && strcmp(order, "oldest") == 0 && search_has_order(search);
}

void
search_end(Search *search)
{
	free(search->pattern);
}

/* Check whether the oldest can come first: these two are found by index, the newest first */
bool
search_has_order(const Search *search)
{
	return search->values[SCHEDULE] == NULL && search->values[FINGERPRINT] == NULL;
}

/* Check for a state of jobs that have not ended */
static bool
is_unfinished(const char *state)
{
	for (int i = PARTS_FINAL; i < PARTS_STATES && state != NULL; i++)
	{
		if (strcmp(parts_states[i], state) == 0)
			return true;
	}
	return false;
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
		" $5::jsonb AS args, $6::timestamptz AS ended_since, $7::timestamptz AS ended_until, $8::bigint AS after";
	const char *since = request_query(page->request, "since");
	const char *until = request_query(page->request, "until");
	const char *values[] = {
		request_query(page->request, "before"), search->values[PARENT], search->values[SCHEDULE],
		search->values[METADATA], search->values[ARGS], search->values[ENDED_SINCE],
		search->values[ENDED_UNTIL], request_query(page->request, "after")
	};
	PGresult   *res = page_query(page, check_sql, lengthof(values), values);
	int64_t		parent = result_int64(res, 0, "parent");
	int64_t		after = result_int64(res, 0, "after");
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
	if (after >= search->from)
		search->from = after + 1;
	return good;
}

/* ------------------------------------------------------------------------
 * Searching
 * ------------------------------------------------------------------------ */

/* Hand the rows of a result on, until there are enough */
static void
take_rows(Page *page, const PGresult *res, Search *search)
{
	for (int i = 0; i < PQntuples(res) && !search->full; i++)
	{
		search->found++;
		search->row(page, res, i);
		search->reached = result_int64(res, i, "id");
		search->full = search->found == search->wanted ||
			(search->bytes > 0 && page->out->len > search->bytes);
	}
}

/* Execute a statement for the ids from .. below - 1 */
static PGresult *
query_range(Page *page, Search *search, int64_t from, int64_t below, int n, char *sql)
{
	PGresult   *res;

	snprintf(search->below_text, sizeof(search->below_text), "%lld", (long long) below);
	snprintf(search->from_text, sizeof(search->from_text), "%lld", (long long) from);
	res = page_query(page, sql, n, search->values);
	free(sql);
	return res;
}

/* Report whether the server has an index for the filter */
static bool
is_indexed(const Search *search)
{
	const char *state = search->values[STATE];

	if (search->oldest_first)
		return false;
	return (state != NULL && strcmp(state, "succeeded") != 0) || search->values[ERROR_TEXT] != NULL ||
		search->values[PARENT] != NULL || search->values[SIGNATURE] != NULL ||
		search->values[SCHEDULE] != NULL || search->values[FINGERPRINT] != NULL;
}

/* Skip a gap in the ids, which a search without a filter has met behind the edge */
static int64_t
skip_gap(Page *page, const Search *search, int64_t edge)
{
	char		text[24];
	const char *values[] = {text};
	int64_t		id = search->oldest_first ? search->below : search->from;

	snprintf(text, sizeof(text), "%lld", (long long) edge);
	(void) query_id(page, search->oldest_first ?
					"SELECT j.id FROM defer.jobs j WHERE j.id >= $1::bigint ORDER BY j.id LIMIT 1" :
					"SELECT j.id + 1 FROM defer.jobs j WHERE j.id < $1::bigint ORDER BY j.id DESC LIMIT 1",
					1, values, &id);
	return id;
}

/* Search in windows of ids that grow, as long as a page may take */
static void
search_windows(Page *page, Search *search)
{
	double		begun = clock_seconds();
	int64_t		window = search->filtered ? FIRST_WINDOW : FIRST_WINDOW_ALL;

	while (!search->full && search->below > search->from &&
		   clock_seconds() - begun < search->seconds)
	{
		bool		whole = search->below - search->from <= window;
		int64_t		from = whole || search->oldest_first ? search->from : search->below - window;
		int64_t		below = whole || !search->oldest_first ? search->below : search->from + window;
		int64_t		edge = search->oldest_first ? below : from;
		PGresult   *res = query_range(page, search, from, below, NSCANNED,
									  xprintf("SELECT %s FROM defer.jobs j WHERE j.id < $1::bigint AND j.id >= $2::bigint AND"
											  JOB_FILTER " ORDER BY j.id%s LIMIT %d", search->columns,
											  search->oldest_first ? "" : " DESC", search->wanted));

		if (!result_good(res))
		{
			PQclear(res);
			break;
		}
		take_rows(page, res, search);
		if (PQntuples(res) == 0 && !search->filtered)
			edge = skip_gap(page, search, edge);
		PQclear(res);
		if (search->full)
			break;
		*(search->oldest_first ? &search->from : &search->below) = edge;
		search->reached = search->oldest_first ? edge - 1 : edge;
		if (window < LAST_WINDOW)
			window *= 2;
	}
	search->more = search->full || search->below > search->from;
}

/* Search unfinished jobs of a state, the oldest first, as long as a page may take */
static void
search_unfinished(Page *page, Search *search)
{
	double		begun = clock_seconds();
	bool		more = true;

	while (!search->full && more && clock_seconds() - begun < search->seconds)
	{
		PGresult   *res = query_range(page, search, search->from, search->below, NSCANNED,
									  xprintf("WITH i AS MATERIALIZED (SELECT l.id, l.state FROM defer.live_jobs l"
											  " WHERE l.id >= $2::bigint AND l.id < $1::bigint ORDER BY l.id LIMIT %d),"
											  " c AS (SELECT pg_catalog.count(*) AS looked, pg_catalog.max(i.id) AS last FROM i)"
											  " SELECT %s, c.looked, c.last FROM c LEFT JOIN defer.jobs j"
											  " ON j.id = ANY (ARRAY(SELECT i.id FROM i WHERE i.state = $3)) AND" JOB_FILTER
											  " ORDER BY j.id LIMIT %d", LIVE_CHUNK, search->columns, search->wanted));

		if (!result_good(res))
		{
			PQclear(res);
			break;
		}
		more = result_int64(res, 0, "looked") == LIVE_CHUNK;
		if (result_value(res, 0, "id") != NULL)
			take_rows(page, res, search);
		if (!search->full && result_value(res, 0, "last") != NULL)
		{
			search->reached = result_int64(res, 0, "last");
			search->from = search->reached + 1;
		}
		PQclear(res);
	}
	search->more = search->full || more;
}

/*
 * Search by index.  Of a function of which only a part of the name is known, more
 * ids are fetched and then filtered.
 */
static void
search_indexed(Page *page, Search *search)
{
	int			n = search->values[PATTERN] != NULL && search->values[SIGNATURE] == NULL &&
		search->wanted < FOUND_OF_PATTERN ? FOUND_OF_PATTERN : search->wanted;
	PGresult   *res = query_range(page, search, search->from, search->below, NVALUES,
								  xprintf("WITH i AS MATERIALIZED (SELECT f.id FROM defer.find_jobs("
										  "states => CASE WHEN $3::text IS NOT NULL THEN ARRAY[$3] END, function => $9, queue => $5, error => $6,"
										  " metadata => $7::jsonb, parent_id => $8::bigint, schedule_id => $16::bigint, group_key => $10,"
										  " args => $11::jsonb, key => $12, owner => $13,"
										  " since => $14::timestamptz, until => $15::timestamptz, fingerprint => $17,"
										  " before => $1::bigint, n => %d) f (id)),"
										  " c AS (SELECT pg_catalog.count(*) AS looked, pg_catalog.min(i.id) AS lowest FROM i)"
										  " SELECT %s, c.looked, c.lowest FROM c"
										  " LEFT JOIN defer.jobs j ON j.id = ANY (ARRAY(SELECT i.id FROM i)) AND j.id >= $2::bigint AND" JOB_FILTER
										  " ORDER BY j.id DESC NULLS LAST LIMIT %d", n, search->columns, search->wanted));

	if (result_good(res) && PQntuples(res) > 0)
	{
		int64_t		lowest = result_int64(res, 0, "lowest");

		if (result_value(res, 0, "id") != NULL)
			take_rows(page, res, search);
		if (!search->full)
		{
			search->reached = lowest;
			search->more = lowest > search->from && result_int64(res, 0, "looked") == n;
		}
		else
			search->more = true;
	}
	PQclear(res);
}

/*
 * Find jobs.  False: a field of the address is not valid, and nothing may be shown;
 * the page says what the server said.
 */
bool
search_run(Page *page, Search *search)
{
	if (!read_range(page, search))
		return false;
	if (is_indexed(search))
		search_indexed(page, search);
	else if (search->oldest_first && is_unfinished(search->values[STATE]))
		search_unfinished(page, search);
	else
		search_windows(page, search);
	return true;
}
