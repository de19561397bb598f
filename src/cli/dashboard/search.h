/*
 * search.h
 *		Jobs that pass the filter of an address: dashboard/search.c.
 */
#ifndef DASHBOARD_SEARCH_H
#define DASHBOARD_SEARCH_H

#include "dashboard/page.h"

/* Parameters of the statements */
enum
{
	BELOW,						/* $1: ids below this one */
	FROM,						/* $2: and not below this one */
	STATE,						/* $3; from here on the filter, NULL passes
								 * all */
	PATTERN,					/* $4: of the function's name, for ILIKE */
	QUEUE,						/* $5 */
	ERROR_TEXT,					/* $6: a part of the error, or the SQLSTATE */
	METADATA,					/* $7: contained in it */
	PARENT,						/* $8 */
	SIGNATURE,					/* $9: the function, exactly */
	GROUP_KEY,					/* $10 */
	ARGS,						/* $11: contained in them */
	KEY,						/* $12 */
	OWNER,						/* $13 */
	ENDED_SINCE,				/* $14; of unfinished jobs, enqueued */
	ENDED_UNTIL,				/* $15 */
	NSCANNED,					/* parameters of a search in windows */
	SCHEDULE = NSCANNED,		/* $16: id; where the server has an index only */
	FINGERPRINT,				/* $17: of the error, likewise */
	NVALUES
};

/* Write a row of a result */
typedef void (*SearchRow) (Page *page, const PGresult *res, int row);

typedef struct Search
{
	const char *values[NVALUES];
	char	   *pattern;		/* allocated */
	char		below_text[24];
	char		from_text[24];
	int64_t		below;			/* ids to search: from .. below - 1 */
	int64_t		from;
	const char *columns;
	int			wanted;			/* rows, at most */
	size_t		bytes;			/* of the page, after which it ends; 0: no
								 * limit */
	double		seconds;		/* for all queries */
	SearchRow	row;
	bool		oldest_first;
	bool		filtered;
	/* What search_run() tells */
	int			found;
	bool		full;			/* there are as many as wanted */
	bool		more;			/* there may be more */
	int64_t		reached;		/* the id that it came to, down or up */
} Search;

extern void search_begin(Search *search, const Request *request, const char *columns, int wanted,
						 double seconds, SearchRow row);
extern bool search_has_order(const Search *search);
extern bool search_run(Page *page, Search *search);
extern void search_end(Search *search);

#endif							/* DASHBOARD_SEARCH_H */
