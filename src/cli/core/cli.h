/*
 * cli.h
 *		What the files of the program "defer" offer to each other.
 *
 * The program speaks to the server through libpq only.  Three rules hold in
 * all of it:
 *
 * - Statements are constants; values travel as parameters.
 * - Names in statements are schema-qualified, and core/connect.c has set the
 *	 search_path to pg_catalog before anything else is sent.
 * - Whatever came from the server goes through core/text.c (or core/json.c) on its way
 *	 out, so that no value can speak to the terminal.
 */
#ifndef DEFER_CLI_H
#define DEFER_CLI_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "libpq-fe.h"

#if defined(__GNUC__) || defined(__clang__)
#define CLI_PRINTF(string, first) __attribute__((format(printf, string, first)))
#define CLI_NORETURN __attribute__((noreturn))
#else
#define CLI_PRINTF(string, first)
#define CLI_NORETURN
#endif

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

/* How the program ends; doc/cli.md and defer.1 tell users the same */
typedef enum CliExit
{
	CLI_OK = 0,
	CLI_REFUSED = 1,			/* the server reported an error */
	CLI_NO_CONNECTION = 2,		/* could not connect, or lost it */
	CLI_USAGE = 3,				/* the command line makes no sense */
	CLI_NOTHING_DONE = 4,		/* no such job, or it has ended already, ... */
	CLI_JOB_FAILED = 5,			/* wait: the job failed */
	CLI_JOB_CANCELLED = 6,		/* wait: the job was cancelled */
	CLI_JOB_DISCARDED = 7,		/* wait: the job was discarded */
	CLI_TIMEOUT = 8,			/* wait: it has not ended in time */
	CLI_UNHEALTHY = 9,			/* status --check: something does not run */
	CLI_WARNINGS = 10			/* status --check: warnings only */
} CliExit;

/* --- core/buffer.c: text that grows, memory that is never NULL --- */

typedef struct Buffer
{
	char	   *data;			/* ends with a NUL; NULL before the first use */
	size_t		len;					/* without the NUL */
	size_t		size;
} Buffer;

extern void *xmalloc(size_t size);
extern void *xrealloc(void *pointer, size_t size);
extern char *xstrdup(const char *string);
extern char *xprintf(const char *format,...) CLI_PRINTF(1, 2);
extern void buffer_add(Buffer *buffer, const char *string);
extern void buffer_add_len(Buffer *buffer, const char *string, size_t len);
extern void buffer_char(Buffer *buffer, char c);
extern void buffer_repeat(Buffer *buffer, const char *string, int times);
extern void buffer_vprintf(Buffer *buffer, const char *format, va_list args) CLI_PRINTF(2, 0);
extern void buffer_printf(Buffer *buffer, const char *format,...) CLI_PRINTF(2, 3);
extern void buffer_reset(Buffer *buffer);
extern void buffer_free(Buffer *buffer);

/* --- core/text.c: values made harmless, and measured --- */

typedef enum TextMode
{
	TEXT_LINE,					/* line feeds and tabs, too, are shown as \n
								 * and \t */
	TEXT_BLOCK					/* they stay */
} TextMode;

extern size_t utf8_length(const char *string, size_t left, uint32_t *code);
extern bool text_is_dangerous(uint32_t code);
extern void text_escape(Buffer *out, const char *value, TextMode mode);
extern int	text_width(const char *escaped);
extern void text_cut(Buffer *out, const char *escaped, int width);
extern void text_indent(Buffer *out, const char *escaped, int indent);

/* --- core/terminal.c: where we write to --- */

typedef enum Colour
{
	PLAIN, BOLD, DIM, RED, GREEN, YELLOW, BLUE, REVERSE
} Colour;

extern bool stdout_is_terminal;
extern bool stdout_is_utf8;		/* else only ASCII of our own making is
								 * written */
extern void terminal_init(const char *colours);
extern void terminal_size(int *columns, int *rows);
extern const char *colour(Colour which);	/* "" when there are none */
extern Colour state_colour(const char *state);

/* --- core/format.c: numbers for people --- */

extern void format_seconds(Buffer *out, double seconds);
extern void format_count(Buffer *out, double count);
extern void format_time(Buffer *out, const char *timestamp, const char *today);
extern void format_time_exact(Buffer *out, const char *timestamp);
extern void format_iso(Buffer *out, const char *timestamp);

/* --- core/connect.c: connections, and queries on them --- */

typedef struct ConnectOptions
{
	const char *host;
	const char *port;
	const char *user;
	const char *dbname;			/* also a URI or a conninfo string */
	enum
	{
		PASSWORD_IF_ASKED, PASSWORD_NEVER, PASSWORD_ALWAYS
	}			password;
} ConnectOptions;

extern ConnectOptions connect_options;

extern PGconn *connect_server(void);
extern PGconn *connect_try(const char *password, Buffer *error);
extern PGconn *connect_login(const char *role, const char *password, Buffer *error);
extern PGresult *query_try(PGconn *conn, const char *sql, int n, const char *const *values);
extern PGresult *query(PGconn *conn, const char *sql, int n, const char *const *values);
extern PGresult *query_by_name_try(PGconn *conn, const char *sql, int n, const char *const *values);
extern PGresult *query_by_name(PGconn *conn, const char *sql, int n, const char *const *values);
extern void result_error(Buffer *out, PGconn *conn, const PGresult *res);
extern void fail_with_result(PGconn *conn, const PGresult *res) CLI_NORETURN;
extern const char *result_value(const PGresult *res, int row, const char *column);
extern const char *result_text(const PGresult *res, int row, const char *column);
extern double result_number(const PGresult *res, int row, const char *column);
extern bool result_true(const PGresult *res, int row, const char *column);

/* --- core/table.c: tables that fit the terminal --- */

typedef enum ColumnKind
{
	COLUMN_TEXT, COLUMN_NUMBER, COLUMN_STATE
} ColumnKind;

typedef struct Column
{
	const char *title;
	ColumnKind	kind;
	int			shrink;			/* may be cut to that width; 0: never cut */
	int			drop;			/* where it is too narrow, those with the
								 * largest number go first; 0: never */
} Column;

typedef struct Table
{
	const Column *columns;
	int			ncolumns;
	char	  **cells;			/* made harmless; by row */
	int			ncells;
	int			size;
} Table;

extern void table_init(Table *table, const Column *columns, int ncolumns);
extern void table_cell(Table *table, const char *value);
extern void table_cell_printf(Table *table, const char *format,...) CLI_PRINTF(2, 3);
extern void table_cell_count(Table *table, double count);
extern void table_cell_seconds(Table *table, const PGresult *res, int row, const char *column);
extern void table_cell_time(Table *table, const char *timestamp, const char *today);
extern int	table_rows(const Table *table);
extern void table_render(Table *table, Buffer *out, int width, int max_rows);
extern void table_print(Table *table);
extern void table_free(Table *table);

/* --- core/json.c: JSON, UTF-8, always valid --- */

typedef struct Json
{
	Buffer		out;
	int			depth;
	bool		comma[32];		/* by depth: is one due before the next value? */
	bool		lines;			/* break lines between the elements of the top */
} Json;

extern void json_open(Json *json, char bracket);
extern void json_close(Json *json, char bracket);
extern void json_key(Json *json, const char *key);
extern void json_string(Json *json, const char *value);
extern void json_raw(Json *json, const char *value);
extern void json_bool(Json *json, bool value);
extern void json_int(Json *json, int64_t value);
extern void json_key_string(Json *json, const char *key, const char *value);
extern void json_value(Json *json, const PGresult *res, int row, int column);
extern void json_members(Json *json, const PGresult *res, int row);
extern void json_row(Json *json, const PGresult *res, int row);
extern void json_row_but(Json *json, const PGresult *res, int row, const char *but);
extern void json_rows(Json *json, const PGresult *res);
extern void json_print(Json *json);
extern void json_text(Buffer *out, const char *value);

/* --- core/options.c: the command line --- */

typedef enum OptionKind
{
	OPTION_FLAG,				/* bool */
	OPTION_TEXT,				/* const char * */
	OPTION_NUMBER,				/* const char *, checked to be a whole number */
	OPTION_SECONDS				/* double; "90", "1.5s", "2min", "1h" */
} OptionKind;

typedef struct Option
{
	const char *name;			/* long name; NULL ends the list */
	char		letter;			/* 0: none */
	OptionKind	kind;
	void	   *target;
} Option;

typedef struct Command
{
	const char *name;
	const char *arguments;		/* what stands behind the name in the synopsis */
	const char *summary;		/* one line */
	int			(*run) (int argc, char **argv);
	const char *help;			/* its options and examples */
} Command;

extern const Command *current_command;	/* NULL: none is chosen yet */
extern const Command commands[];
extern bool json_wanted;		/* --json */
extern bool quiet_wanted;		/* -q */

extern char **options_parse(int argc, char **argv, const Option *options,
							int least, int most, int *count);
extern void options_global(int *argc, char ***argv);
extern double parse_seconds(const char *what, const char *text);
extern void check_number(const char *what, const char *text);
extern void complain(const char *format,...) CLI_PRINTF(1, 2);
extern void usage_error(const char *format,...) CLI_PRINTF(1, 2) CLI_NORETURN;
extern void finish_output(void);

/* --- what several commands show: core/show.c --- */

extern const char *const live_queues_sql;
extern const char *const running_jobs_sql;
extern const char *const job_columns;	/* of defer.jobs j, for a SELECT */
extern void show_progress(Buffer *out, double fraction, int width);
extern void queues_table(Table *table, const PGresult *res);
extern void running_table(Table *table, const PGresult *res);
extern void jobs_table(Table *table, const PGresult *res);
extern char *resolve_time(PGconn *conn, const char *what, const char *text);

/* --- commands/wait.c: until jobs have ended --- */

extern int	wait_for_job(PGconn *conn, const char *id, double timeout, bool with_children);

/* --- the commands, a file each; see commands/commands.h --- */

extern int	cmd_status(int argc, char **argv);
extern int	cmd_top(int argc, char **argv);
extern int	cmd_jobs(int argc, char **argv);
extern int	cmd_job(int argc, char **argv);
extern int	cmd_schedules(int argc, char **argv);
extern int	cmd_enqueue(int argc, char **argv);
extern int	cmd_trigger(int argc, char **argv);
extern int	cmd_cancel(int argc, char **argv);
extern int	cmd_rerun(int argc, char **argv);
extern int	cmd_reschedule(int argc, char **argv);
extern int	cmd_pause(int argc, char **argv);
extern int	cmd_resume(int argc, char **argv);
extern int	cmd_wait(int argc, char **argv);
extern int	cmd_metrics(int argc, char **argv);

/* dashboard*.c; built if dashboard/dashboard.c is there */
extern int	cmd_dashboard(int argc, char **argv);
extern const char dashboard_help[];

/* --- commands/metrics.c: for Prometheus; used by the dashboard, too --- */

extern bool metrics_collect(PGconn *conn, Buffer *out, Buffer *error);

#endif							/* DEFER_CLI_H */
