/*
 * job_again.c
 *		A job as SQL, and a form for one like it with other arguments.
 */
#include "dashboard/job.h"

#include <string.h>

#include "dashboard/dashboard.h"
#include "dashboard/form.h"
#include "dashboard/parts.h"

/* Bytes of arguments that a form takes: those of a larger job need a client */
#define MAX_TYPED_ARGS	30000

/*
 * A function or task can be enqueued with its arguments, a statement can be
 * executed.  Deliveries and workflows are made with more than their arguments.  Only
 * the owner is helped to it: checking the arguments may run code of theirs, and so
 * does the job, with the rights of the role that enqueues it.
 */
static const char *const statement_sql =
"SELECT j.args, x.named, CASE WHEN x.named THEN"
" pg_catalog.format('SELECT defer.enqueue(%L, %L, queue => %L);', j.function, j.args, j.queue)"
" WHEN j.function = 'defer.command' THEN j.args ->> 'sql' END AS statement"
" FROM defer.jobs j CROSS JOIN LATERAL (SELECT j.function NOT IN"
" ('defer.command', 'defer.workflow', 'defer.http', 'defer.email', 'defer.slack') AS named) x"
" WHERE j.id = $1::bigint AND j.owner = CURRENT_USER";

/* Append the form that enqueues a job of the same function */
static void
other_arguments(Page *page, const PGresult *res, const char *id)
{
	static const FormField fields[] = {{"args", "Arguments", FORM_LINES, "[42], or {\"name\": 42}", true}, {NULL}};
	Buffer	   *out = page->out;

	buffer_add(out, request_query(page->request, "args") != NULL ? "<details open>" : "<details>");
	buffer_add(out, "<summary>Run with other arguments</summary>\n");
	part_form_begin(page, "run-with", "again", NULL, NULL);
	part_hidden(page, "id", id);
	form_fields(page, "again", fields, res);
	buffer_add(out, "<div class=\"buttons\"><button>Enqueue</button> <span class=\"quiet\">"
			   "A new job with the queue, priority, group and metadata of this one."
			   "</span></div></form></details>\n");
}

/* Append the statement that makes a job like this one, and the form, where there are any */
void
job_again(Page *page, const char *id)
{
	Buffer	   *out = page->out;
	PGresult   *res = page_query(page, statement_sql, 1, &id);

	if (result_value(res, 0, "statement") != NULL)
	{
		buffer_add(out, "<details><summary>As SQL</summary>");
		part_block(page, "Statement", result_text(res, 0, "statement"), false);
		buffer_add(out, "</details>\n");
	}
	if (!dashboard.read_only && result_true(res, 0, "named") &&
		strlen(result_text(res, 0, "args")) <= MAX_TYPED_ARGS)
		other_arguments(page, res, id);
	PQclear(res);
}
