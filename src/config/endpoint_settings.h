/*
 * endpoint_settings.h
 *		Limits of endpoints, as those see them who enqueue and send deliveries:
 *		config/settings_cache.c, config/settings_limits.c.
 */
#ifndef DEFER_ENDPOINT_SETTINGS_H
#define DEFER_ENDPOINT_SETTINGS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* The limits of a row of defer.endpoint */
typedef struct EndpointSettings
{
	int32		id;				/* 0: it has no limits, or is not there */
	Oid			owner;
	TimestampTz created_at;
	int32		concurrency;	/* -1: no limit */
	char	   *rate;			/* NULL: no limit */
} EndpointSettings;

/* Never NULL; good as long as what settings_cache.h returns */
extern const EndpointSettings *endpoint_settings(const char *name);

/*
 * Check whether the endpoint of that owner and age is the one that a delivery of that role
 * named when it was enqueued, or one that the same owner has made again since
 */
extern bool settings_endpoint_is_meant(const Jsonb *args, Oid job_owner, Oid owner,
									   TimestampTz created_at);

/* The number of the limited endpoint in the arguments of a delivery of that role; 0: none */
extern int32 settings_limited_endpoint(const Jsonb *args, Oid job_owner);

#endif							/* DEFER_ENDPOINT_SETTINGS_H */
