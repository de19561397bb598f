/*
 * job.h
 *		One job: what its page and that of its fan-out share.
 */
#ifndef DASHBOARD_JOB_H
#define DASHBOARD_JOB_H

#include "dashboard/page.h"

/* job.c */
extern PGresult *job_find(Page *page, const char *id);
extern void job_title(Page *page, const PGresult *job, const char *id);

/* job_again.c */
extern void job_again(Page *page, const char *id);

/* job_steps.c */
extern void job_steps(Page *page, const char *id);

/* tree.c */
extern void tree_children(Page *page, const PGresult *job, const char *id, bool always);

#endif							/* DASHBOARD_JOB_H */
