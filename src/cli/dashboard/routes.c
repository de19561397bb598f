/*
 * routes.c
 *		The pages by their paths.  Only this file knows both: the server and the
 *		frame see routes, a page sees neither.
 */
#include "dashboard/routes.h"

#include <string.h>

#include "dashboard/pages.h"

const Route routes[] = {
	{"/", "Overview", page_overview, "/"},
	{"/jobs", "Jobs", page_jobs, "/jobs"},
	{"/errors", "Errors", page_errors, "/errors"},
	{"/workflows", "Workflows", page_workflows, "/workflows"},
	{"/functions", "Functions", page_functions, "/functions"},
	{"/schedules", "Schedules", page_schedules, "/schedules"},
	{"/queues", "Queues", page_queues, "/queues"},
	{"/workers", "Workers", page_workers, "/workers"},
	{"/endpoints", "Endpoints", page_endpoints, "/endpoints"},
	{"/alerts", "Alerts", page_alerts, "/alerts"},
	{"/job", "Job", page_job, "/jobs"},
	{"/bulk", "Many jobs", page_bulk, "/jobs"},
	{"/tree", "Fan-out", page_tree, "/jobs"},
	{"/workflow", "Workflow", page_workflow, "/workflows"},
	{"/function", "Function", page_function, "/functions"},
	{"/schedule", "Schedule", page_schedule, "/schedules"},
	{"/new-schedule", "New schedule", page_new_schedule, "/schedules"},
	{"/queue", "Queue", page_queue, "/queues"},
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
