/*
 * table_check.h
 *		Whether a table is as the code that reads and writes its rows expects:
 *		base/table_check.c.
 */
#ifndef TABLE_CHECK_H
#define TABLE_CHECK_H

#include "utils/relcache.h"

/*
 * Check that a table of ours is of the access method "heap" and that its first
 * columns have these names.  Rows are written as heap tuples, and columns are
 * found by their numbers: an error here is better than a value in the wrong
 * column.  Cheap enough for once a transaction.
 */
extern void table_check(Relation rel, const char *const *columns, int ncolumns);

/* Check the columns only, of a table whose rows are read and not written */
extern void table_check_columns(Relation rel, const char *const *columns, int ncolumns);

#endif							/* TABLE_CHECK_H */
