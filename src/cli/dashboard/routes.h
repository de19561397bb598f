/*
 * routes.h
 *		The pages by their paths.
 */
#ifndef DASHBOARD_ROUTES_H
#define DASHBOARD_ROUTES_H

#include "dashboard/page.h"

typedef struct Route
{
	const char *path;
	const char *title;
	void		(*write) (Page *page);	/* writes the content */
	const char *type;			/* of what is no page; NULL: a page */
	const char *menu;			/* path of the menu entry it belongs to; its
								 * own: is one */
} Route;

extern const Route routes[];	/* a path of NULL ends it */

extern const Route *route_find(const char *path);

#endif							/* DASHBOARD_ROUTES_H */
