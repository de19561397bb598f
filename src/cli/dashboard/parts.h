/*
 * parts.h
 *		Parts that several pages have: buttons, tables, rows of jobs.
 */
#ifndef DASHBOARD_PARTS_H
#define DASHBOARD_PARTS_H

#include "dashboard/page.h"

/* States in the order of a progress bar; the first four are final */
#define PARTS_STATES	9
#define PARTS_FINAL		4
extern const char *const parts_states[PARTS_STATES];

extern void part_button(Page *page, const char *action, const char *name, const char *value,
						const char *label, const char *class, const char *confirm);
extern void part_block(Page *page, const char *title, const char *value, bool json);
extern void part_copy(Page *page, const char *text, const char *label);
extern void part_form_begin(Page *page, const char *action, const char *class, const char *back,
							const char *confirm);
extern void part_hidden(Page *page, const char *name, const char *value);
extern void part_empty(Page *page, const char *text);
extern void part_progress(Page *page, const double *by_state, double total, const char *label);

extern void part_table_begin(Page *page, const char *const *titles, const char *class);
extern void part_table_end(Page *page);
extern void part_seconds_cell(Page *page, const PGresult *res, int row, const char *column);
extern void part_count_cell(Page *page, const PGresult *res, int row, const char *column,
							const char *class);

extern void part_job_links(Page *page, const char *list);
extern void part_failures(Page *page, const char *function, int n);

#endif							/* DASHBOARD_PARTS_H */
