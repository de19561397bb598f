/*
 * page.h
 *		A page while it is written: its queries, and the frame around it.
 *
 * One thread writes a page into one Buffer, with the connection of the session,
 * which no other thread uses meanwhile.
 */
#ifndef DASHBOARD_PAGE_H
#define DASHBOARD_PAGE_H

#include "core/query.h"
#include "dashboard/request.h"
#include "dashboard/session.h"

#include "libpq-fe.h"

/* Milliseconds that one query of a page may take, and all of them together */
#define PAGE_QUERY_TIMEOUT	1500
#define PAGE_TIMEOUT		2500

typedef struct Page
{
	Buffer	   *out;
	Session    *session;
	PGconn	   *conn;
	Request    *request;
	double		begun;			/* clock_seconds() */
	double		now;			/* time of the server, seconds since 1970 */
	bool		timed_out;		/* a query took too long */
	bool		estimated;		/* some numbers are estimates */
	bool		attention;		/* the icon of the window says so */
	char		zone[ZONE_SIZE];	/* of all times of the page */
	char		title[64];		/* of the window; "": that of the route */
	Buffer		problem;		/* error of the server */
} Page;

/* query.c */
extern bool page_prepare_connection(PGconn *conn, Buffer *error);
extern PGresult *page_query(Page *page, const char *sql, int n, const char *const *values);
extern PGresult *page_query_within(Page *page, int timeout, const char *sql, int n,
								   const char *const *values);

/* page.c */
extern void page_write(Page *page);
extern void page_write_login(Buffer *out, const char *token, const char *problem);
extern void page_write_error(Buffer *out, Session *session, const char *title, const char *text);

#endif							/* DASHBOARD_PAGE_H */
