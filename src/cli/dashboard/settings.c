/*
 * settings.c
 *		Settings of a function or a queue, and the form that changes them.
 */
#include "dashboard/settings.h"

#include <string.h>

#include "dashboard/dashboard.h"
#include "dashboard/form.h"
#include "dashboard/html.h"
#include "dashboard/parts.h"

/* The form of a function has queue and at_limit, that of a queue reserved */
static const FormField function_fields[] = {
	{"queue", "Queue", FORM_TEXT, "default"},
	{"at_limit", "Jobs over the limit", FORM_CHOICE, ",keep,cancel"},
	{NULL}
};
static const FormField queue_fields[] = {
	{"reserved", "Reserved workers", FORM_NUMBER, "none"},
	{NULL}
};
static const FormField limit_fields[] = {
	{"priority", "Priority", FORM_NUMBER, "0"},
	{"concurrency", "Jobs at the same time", FORM_NUMBER, "no limit"},
	{"rate", "Rate", FORM_TEXT, "100/minute"},
	{"rate_burst", "of which at once", FORM_NUMBER, "1"},
	{"max_duration", "Duration, at most", FORM_TEXT, "no limit"},
	{"discard_after", "Discard after", FORM_TEXT, "never"},
	{"max_queued", "Unfinished jobs", FORM_NUMBER, "no limit"},
	{NULL}
};
static const FormField retry_fields[] = {
	{"max_attempts", "Attempts", FORM_NUMBER, "13"},
	{"initial_interval", "First pause", FORM_TEXT, "30 s"},
	{"multiplier", "grows by", FORM_TEXT, "1.5"},
	{"max_interval", "up to", FORM_TEXT, "10 min"},
	{"randomization", "random part", FORM_TEXT, "0.5"},
	{NULL}
};
static const FormField group_fields[] = {
	{"group_by", "Group by", FORM_TEXT, "metadata.tenant"},
	{"group_concurrency", "Jobs of a group", FORM_NUMBER, "no limit"},
	{"group_rate", "Rate of a group", FORM_TEXT, "10/minute"},
	{"group_rate_burst", "of which at once", FORM_NUMBER, "1"},
	{"group_order", "Order in a group", FORM_CHOICE, ",none,strict"},
	{"on_group_failure", "After a failed job", FORM_CHOICE, ",skip,hold"},
	{"group_max_queued", "Unfinished jobs of a group", FORM_NUMBER, "no limit"},
	{NULL}
};

/* No settings, but what has become of them */
static const FormField cap_values[] = {
	{"unfinished", "Counted as unfinished", FORM_NUMBER, ""},
	{"refused", "Refused", FORM_NUMBER, ""},
	{NULL}
};

/* Append the values that are set */
static void
show_values(Page *page, const FormField *fields, const PGresult *res, int *shown)
{
	for (; fields->name != NULL; fields++)
	{
		if (result_value(res, 0, fields->name) == NULL)
			continue;
		html_add(page->out, "<div><dt>%s</dt><dd>%s</dd></div>", fields->label, result_text(res, 0, fields->name));
		(*shown)++;
	}
}

/* Append a heading, and fields below it */
static void
part(Page *page, const char *title, const FormField *fields, const FormField *more,
	 const PGresult *res)
{
	html_add(page->out, "<fieldset><legend>%s</legend><div class=\"fields\">\n", title);
	form_fields(page, "set", fields, res);
	if (more != NULL)
		form_fields(page, "set", more, res);
	buffer_add(page->out, "</div></fieldset>\n");
}

/* Append the form that changes the settings */
static void
show_form(Page *page, bool function, const char *name, const PGresult *res)
{
	Buffer	   *out = page->out;
	bool		typed = request_query(page->request, "max_attempts") != NULL;

	html_add(out, "<details%s><summary>Change</summary>", typed ? " open" : "");
	part_form_begin(page, function ? "configure" : "alter-queue", "settings", NULL, NULL);
	part_hidden(page, "name", name);
	part(page, "Limits", limit_fields, function ? function_fields : queue_fields, res);
	part(page, "Attempts", retry_fields, NULL, res);
	part(page, "Groups", group_fields, NULL, res);
	buffer_add(out, "<div class=\"buttons\"><button class=\"primary\">Save</button> <span class=\"quiet\">An empty field is the default.</span></div></form></details>\n");
}

/* Append the settings; kind: function or queue */
void
settings_card(Page *page, const char *kind, const char *name)
{
	static const char *const sql =
		"SELECT s.*, NULLIF(pg_catalog.array_to_string(s.granted, ', '), '') AS open_to, c.unfinished, c.refused"
		" FROM defer.settings s LEFT JOIN LATERAL defer.cap_state(s.kind, s.name) c"
		" ON s.max_queued IS NOT NULL OR s.group_max_queued IS NOT NULL WHERE s.kind = $1 AND s.name = $2";
	const char *values[] = {kind, name};
	bool		function = strcmp(kind, "function") == 0;
	Buffer	   *out = page->out;
	PGresult   *res = page_query(page, sql, lengthof(values), values);
	int			shown = 0;

	if (!result_good(res))
	{
		PQclear(res);
		return;
	}
	buffer_add(out, "<section class=\"card\" aria-labelledby=\"h-settings\"><h2 id=\"h-settings\">Settings</h2>\n");
	if (PQntuples(res) > 0)
	{
		buffer_add(out, "<dl class=\"facts\">");
		if (!function)
			html_add(out, "<div><dt>Owner</dt><dd>%s</dd></div>", result_text(res, 0, "owner"));
		if (result_value(res, 0, "open_to") != NULL)
			html_add(out, "<div><dt>Open to</dt><dd>%s</dd></div>", result_text(res, 0, "open_to"));
		show_values(page, function ? function_fields : queue_fields, res, &shown);
		show_values(page, limit_fields, res, &shown);
		show_values(page, retry_fields, res, &shown);
		show_values(page, group_fields, res, &shown);
		show_values(page, cap_values, res, &shown);
		buffer_add(out, "</dl>\n");
	}
	if (shown == 0)
		buffer_add(out, "<p class=\"quiet\">All of its settings are the defaults.</p>\n");
	if (!dashboard.read_only)
		show_form(page, function, name, res);
	buffer_add(out, "</section>\n");
	PQclear(res);
}
