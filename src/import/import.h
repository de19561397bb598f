/*
 * import.h
 *		What the files of the import share: import/import_pg_cron.c has the jobs,
 *		import/notes.c the notes about them.
 */
#ifndef DEFER_IMPORT_H
#define DEFER_IMPORT_H

#include "lib/stringinfo.h"

#include "schedule/schedule.h"
#include "import/pg_cron_jobs.h"

/* What holds for all jobs */
typedef struct Import
{
	PgCron		cron;
	bool		deactivate;		/* asked to switch the jobs off in pg_cron */
	MemoryContext context;		/* of all this */
} Import;

/* A row of the answer; in the context of the import */
typedef struct Outcome
{
	char	   *name;
	char	   *schedule;
	bool		imported;
	StringInfoData note;
} Outcome;

/* Add a sentence to the note */
extern void import_note(Outcome *outcome, const char *format,...) pg_attribute_printf(2, 3);

/* Note what pg_cron makes of a text that it takes otherwise than it is written */
extern void import_note_reading(Outcome *outcome, const char *text, const PgCronSchedule *theirs);

/* Note changes of clocks at which pg_cron runs the schedule more or less often */
extern void import_note_clocks(Outcome *outcome, const Import *import, const PgCronSchedule *theirs,
							   const Schedule *s);

/* A schedule of ours in English; "" if it is none */
extern char *import_english(const char *text);

/* The call that changes an option of the schedule, for the user to paste */
extern char *import_alter_call(const Schedule *s, const char *option, const char *value);

#endif							/* DEFER_IMPORT_H */
