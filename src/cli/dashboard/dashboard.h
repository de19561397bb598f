/*
 * dashboard.h
 *		What the files of "defer dashboard" offer to each other.
 *
 *	dashboard/dashboard.c				the command: options, listening, the end
 *	dashboard/http.c		a request: who asks, from where, for what; answers
 *	dashboard/session.c		who has logged in; their connections
 *	dashboard/sql.c			queries with a time limit
 *	dashboard/actions.c		what a POST does
 *	dashboard/pages.c		the frame of all pages; overview, health
 *	dashboard/jobs.c		lists of jobs; one job; a fan-out
 *	dashboard/lists.c		functions, schedules, queues, workers, ...
 *	dashboard/chart.c		charts as SVG
 *	dashboard/html.c					text that is shown as text
 *
 * A page is written into one Buffer, by one thread, with the connection of the
 * session that asked, which no other thread uses meanwhile.
 */
#ifndef DEFER_DASHBOARD_H
#define DEFER_DASHBOARD_H

#include "core/cli.h"

#include <pthread.h>
#include <time.h>

/* Hexadecimal digits of a token: 128 bits that nobody guesses */
#define TOKEN_LEN		32

/* Milliseconds that a query of a page may take, and all of them together */
#define QUERY_TIMEOUT	1500
#define PAGE_TIMEOUT	2500

/* --- dashboard/html.c --- */

extern void html_text(Buffer *out, const char *value);
extern void html_block(Buffer *out, const char *value);
extern void html(Buffer *out, const char *format,...) CLI_PRINTF(2, 3);
extern void html_url(Buffer *out, const char *value);
extern void html_json(Buffer *out, const char *json);
extern double parse_time(const char *timestamp);
extern void html_time(Buffer *out, const char *timestamp, double now);
extern void html_clock(Buffer *out, const char *timestamp, double now);
extern void html_seconds(Buffer *out, double seconds);
extern void html_count(Buffer *out, double count);
extern void html_count_about(Buffer *out, double count, bool about);
extern void html_function(Buffer *out, const char *signature);
extern void html_state(Buffer *out, const char *state);

/* --- dashboard/dashboard.c --- */

typedef enum LoginKind
{
	LOGIN_TOKEN,				/* the token printed at start; one role */
	LOGIN_PASSWORD				/* role and password of the database */
} LoginKind;

typedef struct DashboardOptions
{
	LoginKind	login;
	bool		read_only;
	int			port;
	const char *listen;			/* address; NULL: 127.0.0.1 */
	char		token[256];		/* of LOGIN_TOKEN, and of /metrics */
	char		origins[16][300];	/* "http://127.0.0.1:8433": where we are */
	int			norigins;
	bool		secure_cookie;	/* reached by https only */
} DashboardOptions;

extern DashboardOptions dashboard;

/* --- dashboard/session.c --- */

typedef struct Session
{
	char		id[TOKEN_LEN + 1];	/* the cookie */
	char		csrf[TOKEN_LEN + 1];	/* what each form carries */
	char		role[256];		/* for the eye */
	char		database[256];
	bool		has_alerts;		/* does the view defer.alerts exist? */
	bool		own_login;		/* with a password that is not kept */
	time_t		created;
	time_t		used;
	int			references;		/* requests that use it now */
	bool		closed;			/* goes with its last reference */
	pthread_mutex_t mutex;		/* held while conn is used */
	PGconn	   *conn;			/* NULL: none now */
	char		message[400];	/* what the last action did, shown once */
	bool		message_bad;
} Session;

extern void sessions_init(void);
extern void sessions_end(void);
extern void sessions_sweep(void);
extern void random_token(char *token);
extern bool equal_secret(const char *a, const char *b);
extern Session *session_find(const char *id);
extern Session *session_login(const char *role, const char *password, Buffer *error);
extern void session_release(Session *session);
extern void session_close(Session *session);
extern PGconn *session_connect(const char *role, const char *password, Buffer *error);
extern PGconn *session_connection(Session *session, Buffer *error);
extern bool login_allowed(void);
extern void login_failed(void);

/* --- dashboard/sql.c --- */

typedef struct Page
{
	Buffer	   *out;
	Session    *session;
	PGconn	   *conn;
	struct Request *request;
	double		begun;			/* monotonic_ms() */
	double		now;			/* the server's time, seconds since 1970 */
	bool		timed_out;		/* some query took too long */
	bool		estimated;		/* some numbers are estimates */
	Buffer		problem;		/* what the server said, if it refused */
} Page;

extern bool page_prepare(PGconn *conn, Buffer *error);
extern PGresult *page_query(Page *page, const char *sql, int n, const char *const *values);
extern PGresult *page_query_within(Page *page, int timeout, const char *sql, int n, const char *const *values);
extern double monotonic_ms(void);

/* --- dashboard/http.c --- */

typedef struct Field
{
	char	   *name;
	char	   *value;
} Field;

typedef struct Request
{
	const char *path;
	Field	   *query;			/* behind the ? */
	int			nquery;
	Field	   *form;			/* of a POST */
	int			nform;
	bool		fragment;		/* only the changing part is wanted */
	int			status;			/* of the answer */
	char	   *location;		/* redirected to; NULL: not */
} Request;

extern const char *query_field(const Request *request, const char *name);
extern const char *form_field(const Request *request, const char *name);
extern const char *asset_version(const char *path);
extern bool http_start(Buffer *error);
extern void http_stop(void);

/* --- dashboard/actions.c --- */

extern void action_run(Page *page);

/* --- dashboard/pages.c --- */

extern void page_write(Page *page);
extern void login_page(Buffer *out, const char *token, const char *problem);
extern void error_page(Buffer *out, Session *session, const char *title, const char *text);
extern void button(Page *page, const char *action, const char *name, const char *value,
				   const char *label, const char *class, const char *confirm);
extern void empty_note(Page *page, const char *text);
extern bool page_result(Page *page, const PGresult *res);
extern void progress_bar(Page *page, const double *by_state, double total, const char *label);
extern void page_overview(Page *page);

/* --- dashboard/jobs.c --- */

extern void page_jobs(Page *page);
extern void page_job(Page *page, const char *id);
extern void page_tree(Page *page, const char *id);
extern void job_row(Page *page, const PGresult *res, int row);
extern void job_table_head(Page *page);
extern void job_leaves(Page *page, const char *list);

/* --- dashboard/lists.c --- */

extern void table_begin(Page *page, const char *const *titles, const char *class);
extern void table_end(Page *page);
extern void cell_seconds(Page *page, const PGresult *res, int row, const char *column);
extern void cell_count(Page *page, const PGresult *res, int row, const char *column, const char *class);
extern void page_functions(Page *page);
extern void page_function(Page *page, const char *signature);
extern void page_schedules(Page *page);
extern void page_queues(Page *page);
extern void page_workers(Page *page);
extern void page_endpoints(Page *page);
extern void page_alerts(Page *page);

/* --- dashboard/chart.c --- */

extern void chart_bars(Buffer *out, const double *good, const double *bad, int n,
					   double start, double step, const char *title);
extern void chart_spark(Buffer *out, const double *good, const double *bad, int n, const char *title);

#endif							/* DEFER_DASHBOARD_H */
