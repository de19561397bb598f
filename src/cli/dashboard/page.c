/*
 * page.c
 *		The frame of all pages; the login; error pages.
 */
#include "dashboard/page.h"

#include <string.h>

#include "core/clock.h"
#include "dashboard/assets.h"
#include "dashboard/dashboard.h"
#include "dashboard/html.h"
#include "dashboard/parts.h"
#include "dashboard/routes.h"

static void
open_document(Buffer *out, const char *title, bool attention)
{
	html_add(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
			 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
			 "<meta name=\"color-scheme\" content=\"light dark\">\n"
			 "<title>%s \xc2\xb7 defer</title>\n"
			 "<link rel=\"icon\" href=\"/%s.svg\" type=\"image/svg+xml\">\n"
			 "<link rel=\"stylesheet\" href=\"/dashboard.css?%s\">\n"
			 "<script src=\"/dashboard.js?%s\" defer></script>\n</head>\n",
			 title, attention ? "alarm" : "icon", asset_version("/dashboard.css"), asset_version("/dashboard.js"));
}

static void
brand(Buffer *out)
{
	buffer_add(out, "<span class=\"brand\"><img src=\"/icon.svg\" alt=\"\" width=\"24\" height=\"24\"> defer</span>");
}

static void
menu(Buffer *out, const Route *here)
{
	buffer_add(out, "<nav aria-label=\"Pages\"><ul>\n");
	for (const Route *route = routes; route->path != NULL; route++)
	{
		if (strcmp(route->menu, route->path) != 0)
			continue;
		html_add(out, "<li><a href=\"%s\"%s>%s</a></li>\n", route->path,
				 here != NULL && strcmp(here->menu, route->path) == 0 ? " aria-current=page" : "", route->title);
	}
	buffer_add(out, "</ul></nav>\n");
}

static void
frame_begin(Buffer *out, const Session *session, const Route *route, const char *title,
			bool attention)
{
	open_document(out, title, attention);
	buffer_add(out, "<body>\n<a class=\"skip\" href=\"#main\">Skip to the content</a>\n<header>\n");
	brand(out);
	menu(out, route);
	html_add(out, "<div class=\"who\"><span class=\"live\" id=\"live\" hidden>"
			 "<button type=\"button\" class=\"plain\" id=\"live-button\" aria-pressed=\"true\">Live</button></span>"
			 "<span class=\"where\" title=\"role and database\">%s <span class=\"quiet\">on</span> %s%s</span>"
			 "<form method=\"post\" action=\"/logout\"><input type=\"hidden\" name=\"csrf\" value=\"%s\">"
			 "<button class=\"plain\">Log out</button></form></div>\n</header>\n",
			 session->role, session->database, dashboard.read_only ? " (read-only)" : "", session->csrf);
	buffer_add(out, "<p class=\"spoken\" id=\"spoken\" aria-live=\"polite\"></p>\n");
}

/* Append the result of the last action, once */
static void
show_message(Buffer *out, Session *session)
{
	if (session->message[0] == '\0')
		return;
	html_add(out, "<p class=\"message%s\" role=\"%s\">%s</p>\n", session->message_bad ? " bad" : "",
			 session->message_bad ? "alert" : "status", session->message);
	session->message[0] = '\0';
}

/* Write the content of a page, which may be longer than its frame can wait for */
static void
write_content(Page *page, const Route *route, Buffer *content)
{
	Buffer	   *out = page->out;
	const char *zone = page->session->zone[0] != '\0' ? page->session->zone : NULL;
	PGresult   *res;

	buffer_add(content, "");
	page->out = content;
	res = page_query(page, "SELECT pg_catalog.date_part('epoch', pg_catalog.statement_timestamp()) AS now,"
					 " pg_catalog.set_config('TimeZone', COALESCE($1, pg_catalog.current_setting('TimeZone')), false) AS zone",
					 1, &zone);
	page->now = result_number(res, 0, "now");
	snprintf(page->zone, sizeof(page->zone), "%s", result_text(res, 0, "zone"));
	PQclear(res);
	route->write(page);
	page->out = out;
}

/* Append the name of the zone of all times, and the form that chooses another */
static void
zone_form(Page *page)
{
	html_add(page->out, "<details><summary>Times are in the time zone %s</summary>", page->zone);
	part_form_begin(page, "zone", "inline", NULL, NULL);
	html_add(page->out, "<label for=\"zone\">Time zone</label><input id=\"zone\" name=\"zone\" value=\"%s\" list=\"zones\" maxlength=\"255\" spellcheck=\"false\">"
			 "<datalist id=\"zones\"></datalist><button>Use it</button> <span class=\"quiet\">Empty: that of the role or the server.</span></form></details>",
			 page->session->zone);
}

/* Answer with what is no page, or with an error: it is saved unseen */
static void
write_file(Page *page, const Route *route, const Buffer *content)
{
	if (page->problem.len == 0 && !page->timed_out)
	{
		page->request->type = route->type;
		buffer_add_len(page->out, content->data, content->len);
		return;
	}
	page->request->status = page->timed_out ? 503 : 400;
	page_write_error(page->out, page->session, route->title,
					 page->timed_out ? "This took too long." : page->problem.data);
}

/* Write the page of the request's path, or only the part that changes */
void
page_write(Page *page)
{
	Buffer	   *out = page->out;
	Buffer		content = {0};
	const Route *route = route_find(page->request->path);
	bool		whole = !page->request->fragment;
	const char *title;

	if (route == NULL)
	{
		page->request->status = 404;
		page_write_error(out, page->session, "Not found", "There is no such page.");
		return;
	}
	write_content(page, route, &content);
	if (route->type != NULL)
	{
		write_file(page, route, &content);
		buffer_free(&content);
		return;
	}
	title = page->title[0] != '\0' ? page->title : route->title;
	if (whole)
	{
		frame_begin(out, page->session, route, title, page->attention);
		buffer_add(out, "<main id=\"main\" tabindex=\"-1\">\n");
		show_message(out, page->session);
		buffer_add(out, "<div id=\"content\">");
	}
	html_add(out, "<span id=\"page-title\" hidden%s>%s</span>\n", page->attention ? " data-alarm" : "", title);
	if (page->timed_out)
		buffer_add(out, "<p class=\"message bad\" role=\"alert\">A part of this page took too long and is left out.</p>\n");
	if (page->problem.len > 0)
	{
		buffer_add(out, "<p class=\"message bad\" role=\"alert\">The server said: ");
		html_block(out, page->problem.data);
		buffer_add(out, "</p>\n");
	}
	buffer_add(out, content.data);
	buffer_free(&content);
	if (whole)
	{
		html_add(out, "</div>\n<footer><span>defer %s</span> <span>this page took %.0f ms</span> ",
				 DEFER_VERSION, 1000 * (clock_seconds() - page->begun));
		zone_form(page);
		buffer_add(out, "</footer>\n</main>\n</body>\n</html>\n");
	}
}

/* Write an error page; session NULL: without the frame */
void
page_write_error(Buffer *out, Session *session, const char *title, const char *text)
{
	if (session != NULL)
		frame_begin(out, session, NULL, title, false);
	else
	{
		open_document(out, title, false);
		buffer_add(out, "<body class=\"alone\">\n");
	}
	html_add(out, "<main id=\"main\" class=\"card\" tabindex=\"-1\"><h1>%s</h1><p class=\"error-text\">", title);
	html_block(out, text);
	buffer_add(out, "</p><p><a href=\"/\">To the overview</a></p></main>\n</body>\n</html>\n");
}

/* Write the login; a token of the address fills the form, which the browser sends */
void
page_write_login(Buffer *out, const char *token, const char *problem)
{
	open_document(out, "Log in", false);
	buffer_add(out, "<body class=\"alone\">\n<main id=\"main\" class=\"card login\" tabindex=\"-1\">\n<h1>");
	brand(out);
	buffer_add(out, "</h1>\n");
	if (problem != NULL)
	{
		buffer_add(out, "<p class=\"message bad\" role=\"alert\">");
		html_block(out, problem);
		buffer_add(out, "</p>\n");
	}
	html_add(out, "<form method=\"post\" action=\"/login\" id=\"login\"%s>\n",
			 token != NULL && problem == NULL && dashboard.login == LOGIN_TOKEN ? " data-send" : "");
	if (dashboard.login == LOGIN_TOKEN)
		html_add(out, "<label for=\"token\">Token</label>\n"
				 "<input id=\"token\" name=\"token\" type=\"password\" value=\"%s\" autocomplete=\"off\" required autofocus>\n"
				 "<p class=\"quiet\">%s</p>\n", token, dashboard.token_file != NULL ?
				 "That of the file that the dashboard was started with." :
				 "defer dashboard printed it when it was started.");
	else
		buffer_add(out, "<label for=\"role\">Role</label>\n"
				   "<input id=\"role\" name=\"role\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" required autofocus>\n"
				   "<label for=\"password\">Password</label>\n"
				   "<input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" required>\n"
				   "<p class=\"quiet\">Those of the database.</p>\n");
	buffer_add(out, "<button class=\"primary\">Log in</button>\n</form>\n</main>\n</body>\n</html>\n");
}
