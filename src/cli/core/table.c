/*
 * table.c
 *		Tables that fit the terminal.
 *
 * Where there is no terminal nothing is cut or left out.
 */
#include "core/cli.h"

#include <stdlib.h>
#include <string.h>

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

/* The next cell, from left to right; NULL is an empty one */
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
	char		value[ 256];
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

int
table_rows(const Table *table)
{
	return table->ncells / table->ncolumns;
}

/* Width of the line that has these columns */
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
 * Make it fit: cut the widest of the columns that may be cut, then leave out
 * what matters least.  A width of -1: the column is left out.
 */
static void
fit(const Table *table, int *widths, int width)
{
	int			wanted[64];

	memcpy(wanted, widths, table->ncolumns * sizeof(int));
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
			/* now that there is room, the others may be wide again */
			widths[drop] = wanted[drop] = -1;
			memcpy(widths, wanted, table->ncolumns * sizeof(int));
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
		buffer_add(out, colour(PLAIN));
	if (!last)
		buffer_repeat(out, " ", GAP + (right || used >= width ? 0 : width - used));
}

/*
 * Append it, with a line of titles; width 0: as wide as it takes, max_rows 0:
 * all of them.  Each line ends with a line feed.
 */
void
table_render(Table *table, Buffer *out, int width, int max_rows)
{
	int			widths[64];
	int			last = 0;
	int			rows = table_rows(table);

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
				before = colour(BOLD);
			else if (table->columns[i].kind == COLUMN_STATE && state_colour(cell) != PLAIN)
				before = colour(state_colour(cell));
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
