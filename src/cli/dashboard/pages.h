/*
 * pages.h
 *		The pages, for the table of routes.
 */
#ifndef DASHBOARD_PAGES_H
#define DASHBOARD_PAGES_H

#include "dashboard/page.h"

extern void page_alerts(Page *page);
extern void page_bulk(Page *page);
extern void page_endpoints(Page *page);
extern void page_errors(Page *page);
extern void page_function(Page *page);
extern void page_functions(Page *page);
extern void page_job(Page *page);
extern void page_jobs(Page *page);
extern void page_jobs_csv(Page *page);
extern void page_new_schedule(Page *page);
extern void page_overview(Page *page);
extern void page_queue(Page *page);
extern void page_queues(Page *page);
extern void page_schedule(Page *page);
extern void page_schedules(Page *page);
extern void page_servers(Page *page);
extern void page_tree(Page *page);
extern void page_workers(Page *page);
extern void page_workflow(Page *page);
extern void page_workflows(Page *page);

#endif							/* DASHBOARD_PAGES_H */
