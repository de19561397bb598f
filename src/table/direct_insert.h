/*
 * direct_insert.h
 *		Inserting and updating rows of our tables without plan and executor:
 *		table/direct_insert.c.
 */
#ifndef DIRECT_INSERT_H
#define DIRECT_INSERT_H

#include "storage/itemptr.h"
#include "utils/relcache.h"

/*
 * Insert one row, with its index entries.  "columns" has the names of the
 * table's first natts columns, in order (see base/table_check.h); values and
 * nulls are theirs.  The first form opens and locks the table, the second takes
 * one that is open and locked with RowExclusiveLock.
 *
 * A table whose values may be stored out of line needs an active snapshot.
 */
extern void direct_insert(Oid relation, const char *const *columns, int natts, Datum *values,
						  bool *nulls);
extern void direct_insert_rel(Relation rel, const char *const *columns, int natts, Datum *values,
							  bool *nulls);

/*
 * Write a row anew.  Returns false, and changes nothing, if another session has
 * changed or locked it: never waits.
 */
extern bool direct_update_rel(Relation rel, const char *const *columns, int natts,
							  ItemPointer tid, Datum *values, bool *nulls);

#endif							/* DIRECT_INSERT_H */
