/*
 * tree.c
 *		A fan-out: the jobs below a job, as a tree.
 */
#include "dashboard/pages.h"

#include <stdlib.h>
#include <string.h>

#include "dashboard/html.h"
#include "dashboard/job.h"
#include "dashboard/parts.h"

typedef struct Node
{
	char	   *path;			/* functions from the top on, as an array */
	const char *function;
	int			level;
	double		by_state[PARTS_STATES];
	double		total;
	char	   *ids;			/* "12:failed 13:queued ..."; NULL: too many */
} Node;

/*
 * The jobs below a job, by function, level and state.  They are counted among
 * the unfinished jobs and those that ended since the job began, of very many in
 * a sample.
 */
static const char *const tree_sql =
"WITH RECURSIVE s AS MATERIALIZED ("
" SELECT h.id, h.parent_id, h.function, h.state, h.weight FROM defer.history_sample($2::timestamptz, 20000, true) h WHERE h.parent_id IS NOT NULL"
" UNION ALL"
" SELECT l.id, l.parent_id, l.function, l.state, l.weight FROM defer.live_sample(20000) l WHERE l.parent_id IS NOT NULL),"
" t (id, function, state, weight, level, path) AS ("
" SELECT s.id, s.function, s.state, s.weight, 1, ARRAY[s.function] FROM s WHERE s.parent_id = $1::bigint"
" UNION ALL"
" SELECT s.id, s.function, s.state, s.weight * t.weight, t.level + 1, t.path || s.function FROM t JOIN s ON s.parent_id = t.id WHERE t.level < 6)"
" SELECT t.path::text AS path, t.function, t.level, t.state, pg_catalog.sum(t.weight) AS jobs, pg_catalog.max(t.weight) > 1 AS estimated,"
" CASE WHEN pg_catalog.sum(t.weight) <= 12 THEN pg_catalog.string_agg(t.id || ':' || t.state, ' ' ORDER BY t.id) END AS ids"
" FROM t GROUP BY t.path, t.function, t.level, t.state ORDER BY t.path, t.level LIMIT 400";

static void
show_node(Page *page, const Node *node, const char *id)
{
	Buffer	   *out = page->out;
	const char *at = node->ids;

	html_add(out, "<li class=\"level-%d\"><div class=\"node\"><div class=\"head\"><a href=\"/function?name=", node->level);
	html_url(out, node->function);
	buffer_add(out, "\">");
	html_function(out, node->function);
	buffer_add(out, "</a> <span class=\"quiet\">");
	html_count_about(out, node->total, page->estimated);
	html_add(out, " %s</span>", node->total == 1 ? "job" : "jobs");
	if (node->level == 1)
		html_add(out, " <a class=\"small\" href=\"/jobs?parent=%s\">List</a>", id);
	buffer_add(out, "</div>\n");
	part_progress(page, node->by_state, node->total, "Progress");
	if (at != NULL && at[0] != '\0')
		part_job_links(page, at);
	buffer_add(out, "</div></li>\n");
}

/* Append the nodes; the rows of one node follow each other */
static void
show_nodes(Page *page, const PGresult *res, const char *id)
{
	int			row = 0;

	while (row < PQntuples(res))
	{
		Node		node = {.path = PQgetvalue(res, row, 0), .function = result_text(res, row, "function")};
		Buffer		ids = {0};
		bool		few = true;

		node.level = (int) result_number(res, row, "level");
		buffer_add(&ids, "");
		for (; row < PQntuples(res) && strcmp(PQgetvalue(res, row, 0), node.path) == 0; row++)
		{
			double		jobs = result_number(res, row, "jobs");

			for (int i = 0; i < PARTS_STATES; i++)
			{
				if (strcmp(parts_states[i], result_text(res, row, "state")) == 0)
					node.by_state[i] += jobs;
			}
			node.total += jobs;
			few = few && result_value(res, row, "ids") != NULL;
			if (ids.len > 0)
				buffer_char(&ids, ' ');
			buffer_add(&ids, result_text(res, row, "ids"));
		}
		node.ids = few && node.total <= 24 ? ids.data : NULL;
		show_node(page, &node, id);
		buffer_free(&ids);
	}
}

static PGresult *
tree_query(Page *page, const char *id, const char *since)
{
	const char *values[] = {id, since};
	PGresult   *res = page_query(page, tree_sql, 2, values);

	for (int i = 0; i < PQntuples(res); i++)
		page->estimated |= result_true(res, i, "estimated");
	return res;
}

/* Append the jobs below a job; always: also if there are none */
void
tree_children(Page *page, const PGresult *job, const char *id, bool always)
{
	/* its children are younger than its first attempt */
	const char *since = result_value(job, 0, "began");
	PGresult   *res;

	page->estimated = false;
	if (since == NULL)
		return;
	res = tree_query(page, id, since);
	if (result_good(res) && (PQntuples(res) > 0 || always))
	{
		html_add(page->out, "<section class=\"card\" aria-labelledby=\"h-tree\"><div class=\"head\"><h2 id=\"h-tree\">What it enqueued</h2>");
		if (!always)
			html_add(page->out, "<a href=\"/tree?id=%s\">Tree</a>", id);
		buffer_add(page->out, "</div>\n");
		if (PQntuples(res) == 0)
			part_empty(page, "It has enqueued nothing.");
		buffer_add(page->out, "<ul class=\"tree\">\n");
		show_nodes(page, res, id);
		buffer_add(page->out, "</ul></section>\n");
	}
	PQclear(res);
}

/* /tree: the fan-out of a job */
void
page_tree(Page *page)
{
	const char *id = request_query(page->request, "id");
	PGresult   *res = job_find(page, id);

	if (res == NULL)
		return;
	job_title(page, res, id);
	html_add(page->out, "<p><a href=\"/job?id=%s\">All about this job</a></p>\n", id);
	tree_children(page, res, id, true);
	PQclear(res);
}
