/*
 * bulk.h
 *		All jobs that the filter of the page Jobs shows: dashboard/bulk.c.
 */
#ifndef DASHBOARD_BULK_H
#define DASHBOARD_BULK_H

#include "dashboard/page.h"

/* Fields of the filter, $1 to $14 of the statements; NULL passes all */
#define BULK_NFIELDS	14
#define BULK_FIELDS		"state", "function", "queue", "group", "error", "metadata", "parent", "schedule", \
	"args", "key", "owner", "ended_since", "ended_until", "fingerprint"

/* A whole signature, or the name of a delivery, and not a part of some names */
#define BULK_WHOLE_NAME \
	"(pg_catalog.strpos($2, '(') > 0 OR pg_catalog.starts_with($2, 'defer.'))"

/* The functions that the filter means; one row of NULL for all */
#define BULK_FUNCTIONS \
	"(SELECT $2::text AS function WHERE $2 IS NULL OR " BULK_WHOLE_NAME \
	" UNION SELECT n.function FROM defer.functions n" \
	" WHERE NOT " BULK_WHOLE_NAME " AND pg_catalog.strpos(pg_catalog.lower(n.function), pg_catalog.lower($2)) > 0) f"

#define BULK_ARGUMENTS \
	"states => CASE WHEN $1::text IS NOT NULL THEN ARRAY[$1] END, function => f.function, queue => $3," \
	" group_key => $4, error => $5, metadata => $6::jsonb, parent_id => $7::bigint, schedule_id => $8::bigint," \
	" args => $9::jsonb, key => $10, owner => $11," \
	" since => $12::timestamptz, until => $13::timestamptz, fingerprint => $14"

extern void bulk_links(Page *page);

#endif							/* DASHBOARD_BULK_H */
