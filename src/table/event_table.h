/*
 * event_table.h
 *		Events and signals, which steps of procedures wait for: table/event_table.c.
 *
 * All reads are as of now, and see what this transaction has written.
 */
#ifndef EVENT_TABLE_H
#define EVENT_TABLE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "storage/itemptr.h"
#include "utils/jsonb.h"

/* Longest name of an event (bytes) */
#define EVENT_NAME_MAX	200

/*
 * What stands for an event of a role, or for a signal to a job, in place of the id of a
 * job that is awaited: below 0.  Two may have the same, so a job that is woken looks.
 */
extern int64 event_key(Oid owner, const char *name);
extern int64 event_signal_key(int64 job_id, const char *name);

/* Find an event; *payload is a copy, NULL: it has none */
extern bool event_find(Oid owner, const char *name, Jsonb **payload);

/* Find the oldest signal of a name to a job, and where it is, to be deleted */
extern bool event_find_signal(int64 job_id, const char *name, Jsonb **payload, ItemPointer tid);
extern void event_delete_signal(ItemPointer tid);

/* Check whether there is an event, or a signal, of that key; *owner: of it */
extern bool event_exists(int64 key, Oid *owner);

/*
 * Insert an event; false: there is one of that name.
 * Insert a signal.  Delete up to max events that are older than defer.event_retention;
 * true: there may be more.
 */
extern bool event_insert(Oid owner, const char *name, Jsonb *payload);
extern void event_insert_signal(int64 job_id, Oid owner, const char *name, Jsonb *payload);
extern bool event_purge(int max);

/* Keys are made of OIDs of roles: make those anew that a restored dump has brought */
extern void event_rekey(void);

#endif							/* EVENT_TABLE_H */
