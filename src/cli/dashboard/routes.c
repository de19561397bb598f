/*
 * routes.c
 *		The pages by their paths.  Only this file knows both: the server and the
 *		frame see routes, a page sees neither.
 */
#include "dashboard/routes.h"

#include <string.h>

#include "dashboard/pages.h"

const Route routes[] = {
	{"/", "Overview", page_overview, NULL, "/"},
	{"/jobs", "Jobs", page_jobs, NULL, "/jobs"},
	{"/errors", "Errors", page_errors, NULL, "/errors"},
	{"/workflows", "Workflows", page_workflows, NULL, "/workflows"},
	{"/functions", "Functions", page_functions, NULL, "/functions"},
	{"/schedules", "Schedules", page_schedules, NULL, "/schedules"},
	{"/queues", "Queues", page_queues, NULL, "/queues"},
	{"/workers", "Workers", page_workers, NULL, "/workers"},
	{"/endpoints", "Endpoints", page_endpoints, NULL, "/endpoints"},
	{"/alerts", "Alerts", page_alerts, NULL, "/alerts"},
	{"/jobs.csv", "Jobs", page_jobs_csv, "text/csv; charset=utf-8", "/jobs"},
	{"/job", "Job", page_job, NULL, "/jobs"},
	{"/bulk", "Many jobs", page_bulk, NULL, "/jobs"},
	{"/tree", "Fan-out", page_tree, NULL, "/jobs"},
	{"/workflow", "Workflow", page_workflow, NULL, "/workflows"},
	{"/function", "Function", page_function, NULL, "/functions"},
	{"/schedule", "Schedule", page_schedule, NULL, "/schedules"},
	{"/new-schedule", "New schedule", page_new_schedule, NULL, "/schedules"},
	{"/servers", "All servers", page_servers, NULL, "/workers"},
	{"/queue", "Queue", page_queue, NULL, "/queues"},
	{NULL}
};

/* Return the route of a path; NULL: there is none */
const Route *
route_find(const char *path)
{
	for (const Route *route = routes; route->path != NULL; route++)
	{
		if (strcmp(route->path, path) == 0)
			return route;
	}
	return NULL;
}
