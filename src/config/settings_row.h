/*
 * settings_row.h
 *		Reading the rows of defer.function, defer.queue and defer.endpoint, for
 *		config/settings_cache.c.
 */
#ifndef SETTINGS_ROW_H
#define SETTINGS_ROW_H

#include "access/htup.h"
#include "utils/relcache.h"

#include "config/endpoint_settings.h"
#include "config/queue_access.h"

typedef struct SettingsRow
{
	HeapTuple	tuple;
	TupleDesc	desc;
} SettingsRow;

/*
 * Open the table of functions ('f'), queues ('q') or endpoints ('e'), and check its columns;
 * *name: the column that names a row
 */
extern Relation settings_open(char kind, AttrNumber *name);

/* What the row points at is copied into the current memory context */
extern void settings_read_function(const SettingsRow *row, FunctionSettings *settings);
extern void settings_read_queue(const SettingsRow *row, QueueSettings *settings);
extern void settings_read_endpoint(const SettingsRow *row, EndpointSettings *settings);

#endif							/* SETTINGS_ROW_H */
