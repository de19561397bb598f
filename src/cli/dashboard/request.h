/*
 * request.h
 *		A request of a browser: its path, its fields, and where the answer leads.
 */
#ifndef DASHBOARD_REQUEST_H
#define DASHBOARD_REQUEST_H

#include "core/buffer.h"

#define REQUEST_MAX_FIELDS	64

typedef struct Field
{
	char	   *name;
	char	   *value;
} Field;

typedef struct Request
{
	const char *path;
	Field		query[REQUEST_MAX_FIELDS];	/* after the question mark */
	int			nquery;
	Field		form[REQUEST_MAX_FIELDS];	/* of a POST */
	int			nform;
	bool		fragment;		/* only the part that changes is wanted */
	int			status;			/* of the answer */
	char	   *location;		/* redirect there; NULL: do not */
	const char *type;			/* of the answer; NULL: a page */
	char	   *file;			/* its name, allocated; NULL: it is shown */
} Request;

extern const char *request_query(const Request *request, const char *name);
extern const char *request_form(const Request *request, const char *name);
extern void request_add_query(Request *request, const char *name, const char *value);
extern void request_parse_form(Request *request, const char *body);
extern void request_free(Request *request);

#endif							/* DASHBOARD_REQUEST_H */
