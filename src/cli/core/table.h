/*
 * table.h
 *		Tables that fit the terminal.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "core/buffer.h"

#include "libpq-fe.h"

typedef enum ColumnKind
{
	COLUMN_TEXT, COLUMN_NUMBER, COLUMN_STATE
} ColumnKind;

typedef struct Column
{
	const char *title;
	ColumnKind	kind;
	int			shrink;			/* minimum width when cut; 0: never cut */
	int			drop;			/* where the terminal is too narrow, columns
								 * with the largest number are left out first;
								 * 0: never */
} Column;

typedef struct Table
{
	const Column *columns;
	int			ncolumns;
	char	  **cells;			/* made harmless; row by row */
	int			ncells;
	int			size;			/* cells allocated */
} Table;

extern void table_init(Table *table, const Column *columns, int ncolumns);
extern void table_cell(Table *table, const char *value);
extern void table_cell_printf(Table *table, const char *format,...) CLI_PRINTF(2, 3);
extern void table_cell_count(Table *table, double count);
extern void table_cell_seconds(Table *table, const PGresult *res, int row, const char *column);
extern void table_cell_time(Table *table, const char *timestamp, const char *today);
extern void table_render(Table *table, Buffer *out, int width, int max_rows);
extern void table_print(Table *table);
extern void table_free(Table *table);

#endif							/* CLI_TABLE_H */
