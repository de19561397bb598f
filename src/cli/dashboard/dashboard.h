/*
 * dashboard.h
 *		How "defer dashboard" was started.
 */
#ifndef DASHBOARD_DASHBOARD_H
#define DASHBOARD_DASHBOARD_H

#include "core/base.h"

typedef enum LoginKind
{
	LOGIN_TOKEN,				/* the token of the start; one role */
	LOGIN_PASSWORD				/* role and password of the database */
} LoginKind;

typedef struct DashboardOptions
{
	LoginKind	login;
	bool		read_only;
	int			port;
	const char *listen;			/* address; NULL: 127.0.0.1 */
	const char *token_file;		/* NULL: the token is a new one */
	char		token[256];		/* of LOGIN_TOKEN, and of /metrics */
	char		origins[16][300];	/* "http://127.0.0.1:8433" */
	int			norigins;
	bool		secure_cookie;	/* reached by https only */
} DashboardOptions;

extern DashboardOptions dashboard;	/* set before the first thread starts */

#endif							/* DASHBOARD_DASHBOARD_H */
