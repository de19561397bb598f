/*
 * table.c
 *		Tables that fit the terminal.
 *
 * Without a terminal no cell is cut and no column left out.
 *
 * fe_utils/print.c of PostgreSQL neither cuts nor drops columns, and prints
 * control characters as they are.
 */
#include "core/table.h"

#include <stdlib.h>
#include <string.h>

#include "core/format.h"
#include "core/query.h"
#include "core/terminal.h"
#include "core/text.h"

#define GAP 2					/* blanks between columns */

void
table_init(Table *table, const Column *columns, int ncolumns)
{
	memset(table, 0, sizeof(*table));
	table->columns = columns;
	table->ncolumns = ncolumns;
}

static void
add_cell(Table *table, char *cell)
{
	if (table->ncells == table->size)
	{
		table->size = table->size < 64 ? 64 : table->size * 2;
		table->cells = xrealloc(table->cells, table->size * sizeof(char *));
	}
	table->cells[table->ncells++] = cell;
}

/* Add the next cell, from left to right; NULL is an empty one */
void
table_cell(Table *table, const char *value)
{
	Buffer		cell = {0};

	buffer_add(&cell, "");
	if (value != NULL)
		text_escape(&cell, value, TEXT_LINE);
	add_cell(table, cell.data);
}

void
table_cell_printf(Table *table, const char *format,...)
{
	char		value[256];
	va_list		args;

	va_start(args, format);
	vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	table_cell(table, value);
}

void
table_cell_count(Table *table, double count)
{
	Buffer		cell = {0};

	buffer_add(&cell, "");
	format_count(&cell, count);
	add_cell(table, cell.data);
}

void
table_cell_seconds(Table *table, const PGresult *res, int row, const char *column)
{
	Buffer		cell = {0};

	buffer_add(&cell, "");
	if (result_value(res, row, column) != NULL)
		format_seconds(&cell, result_number(res, row, column));
	add_cell(table, cell.data);
}

void
table_cell_time(Table *table, const char *timestamp, const char *today)
{
	Buffer		cell = {0};

	buffer_add(&cell, "");
	if (timestamp != NULL)
		format_time(&cell, timestamp, today);
	add_cell(table, cell.data);
}

static int
count_rows(const Table *table)
{
	return table->ncells / table->ncolumns;
}

/* Return the width of a line of these columns */
static int
line_width(const Table *table, const int *widths)
{
	int			total = -GAP;

	for (int i = 0; i < table->ncolumns; i++)
	{
		if (widths[i] >= 0)
			total += widths[i] + GAP;
	}
	return total;
}

/*
 * Make a table fit a width: cut the widest of the columns that may be cut, then
 * drop columns.  A column of width -1 is left out.
 */
static void
fit(const Table *table, int *widths, int width)
{
	int			full[64];		/* widths of uncut columns */

	memcpy(full, widths, table->ncolumns * sizeof(int));
	for (;;)
	{
		int			excess = line_width(table, widths) - width;
		int			widest = -1;
		int			drop = -1;

		if (excess <= 0)
			return;
		for (int i = 0; i < table->ncolumns; i++)
		{
			const Column *column = &table->columns[i];

			if (widths[i] < 0)
				continue;
			if (column->shrink > 0 && widths[i] > column->shrink &&
				(widest < 0 || widths[i] > widths[widest]))
				widest = i;
			if (column->drop > 0 && (drop < 0 || column->drop > table->columns[drop].drop))
				drop = i;
		}
		if (widest >= 0)
			widths[widest]--;
		else if (drop >= 0)
		{
			/* the room may suffice for the others uncut */
			widths[drop] = full[drop] = -1;
			memcpy(widths, full, table->ncolumns * sizeof(int));
		}
		else
			return;
	}
}

static void
render_cell(const Table *table, Buffer *out, int column, const char *cell, int width,
			bool last, const char *before)
{
	bool		right = table->columns[column].kind == COLUMN_NUMBER;
	int			used = text_width(cell);

	if (right && used < width)
		buffer_repeat(out, " ", width - used);
	buffer_add(out, before);
	text_cut(out, cell, width);
	if (before[0] != '\0')
		buffer_add(out, terminal_colour(COLOUR_PLAIN));
	if (!last)
		buffer_repeat(out, " ", GAP + (right || used >= width ? 0 : width - used));
}

/*
 * Append a table with a line of titles.  width 0: no limit; max_rows 0: all.
 * Each line ends with a line feed.
 */
void
table_render(Table *table, Buffer *out, int width, int max_rows)
{
	int			widths[64];
	int			last = 0;
	int			rows = count_rows(table);

	for (int i = 0; i < table->ncolumns; i++)
	{
		widths[i] = text_width(table->columns[i].title);
		for (int row = 0; row < rows; row++)
		{
			int			cell = text_width(table->cells[row * table->ncolumns + i]);

			if (cell > widths[i])
				widths[i] = cell;
		}
	}
	if (width > 0)
		fit(table, widths, width);
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (widths[i] >= 0)
			last = i;
	}
	if (max_rows > 0 && rows > max_rows)
		rows = max_rows;
	for (int row = -1; row < rows; row++)
	{
		for (int i = 0; i < table->ncolumns; i++)
		{
			const char *cell = row < 0 ? table->columns[i].title :
				table->cells[row * table->ncolumns + i];
			const char *before = "";

			if (widths[i] < 0)
				continue;
			if (row < 0)
				before = terminal_colour(COLOUR_BOLD);
			else if (table->columns[i].kind == COLUMN_STATE &&
					 terminal_state_colour(cell) != COLOUR_PLAIN)
				before = terminal_colour(terminal_state_colour(cell));
			render_cell(table, out, i, cell, widths[i], i == last, before);
		}
		buffer_char(out, '\n');
	}
}

void
table_print(Table *table)
{
	Buffer		out = {0};
	int			columns;
	int			rows;

	terminal_size(&columns, &rows);
	table_render(table, &out, columns, 0);
	fputs(out.data, stdout);
	buffer_free(&out);
}

void
table_free(Table *table)
{
	for (int i = 0; i < table->ncells; i++)
		free(table->cells[i]);
	free(table->cells);
	memset(table, 0, sizeof(*table));
}
