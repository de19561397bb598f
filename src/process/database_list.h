/*
 * database_list.h
 *		Which databases of the server a scheduler may be in.
 */
#ifndef DATABASE_LIST_H
#define DATABASE_LIST_H

#include "nodes/pg_list.h"

/* Each in a transaction of its own; the process is connected to no database */

/* Returns the OIDs of all, in TopMemoryContext */
extern List *databases_to_serve(void);

/*
 * Copies the name of a database to *name.  Returns false if it is gone, or
 * takes no connections, or is a template.
 */
extern bool database_is_servable(Oid database, NameData *name);

#endif							/* DATABASE_LIST_H */
