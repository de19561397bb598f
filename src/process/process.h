/*
 * process.h
 *		The processes of defer: launcher, schedulers, workers, senders; and what starts,
 *		stops and cleans up after them.
 */
#ifndef DEFER_PROCESS_H
#define DEFER_PROCESS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "postmaster/bgworker.h"

/*
 * Exit codes of background workers.  0 means "do not start it again", which
 * for the launcher is never right.
 */
#define EXIT_DONE	0
#define EXIT_AGAIN	1

/*
 * process/start.c: "kind" names the function, defer_<kind>_main, and what
 * pg_stat_activity shows.
 */
typedef struct ProcessStart
{
	const char *kind;
	Datum		arg;			/* of the function */
	uint32		generation;		/* of the slot that the process takes; 0: it
								 * takes none */
	const char *database;		/* these two: names, for what ps shows */
	const char *role;			/* NULL: serves all */
	const char *library;		/* that has the function; NULL: defer */
} ProcessStart;

extern void process_register_static(const char *kind);	/* in the postmaster;
														 * started again if it
														 * ends */

/*
 * False: no background worker is free.  *handle has that of the last one, or
 * NULL, and gets the new one's, in TopMemoryContext.
 */
extern bool process_start(const ProcessStart *start, BackgroundWorkerHandle **handle);
extern uint32 process_generation(void); /* in the process: what it was started
										 * with */

/* process/launcher.c */
extern void launcher_register(void);
extern PGDLLEXPORT void defer_launcher_main(Datum arg);

/* process/scheduler.c */
extern PGDLLEXPORT void defer_scheduler_main(Datum arg);
extern const char *scheduler_database_name(void);
extern void scheduler_check_database(void); /* exits if it is not to be served */

/* process/pool.c: how many workers, of which roles; returns when to look again */
extern TimestampTz pool_maintain(TimestampTz now);
struct AwaitCounts;
extern int	pool_min_depth(const struct AwaitCounts *counts);	/* see
																 * policy_await_min_depth() */

/* process/worker.c */
extern PGDLLEXPORT void defer_worker_main(Datum arg);
extern void worker_pause(bool may_exit);	/* after an error of our own: a
											 * second */

/* process/sender_library.c: in the library defer_sender */
extern PGDLLEXPORT void defer_sender_main(Datum arg);

/* process/sender.c: for that library, which brings the network */
struct Transport;
extern PGDLLEXPORT void defer_sender_run(Datum arg, const char *version,
										 const struct Transport *transport);

/*
 * process/sender_start.c: see to it that the database has a sender.  False: no
 * background worker is free.  *look_again is lowered to when to come back.
 */
extern bool sender_maintain(TimestampTz now, TimestampTz *look_again);

#endif							/* DEFER_PROCESS_H */
