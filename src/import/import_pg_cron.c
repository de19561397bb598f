/*
 * import_pg_cron.c
 *		defer.import_pg_cron(): the jobs of pg_cron become schedules of ours.
 *
 * Schedules are imported as pg_cron runs them, and a note says so where the
 * text says otherwise: pg_cron ignores parts that it does not understand, we
 * refuse them (see pure/pg_cron/read.c).  Each job is a subtransaction: an
 * error in one does not stop the others.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "base/job_kind.h"
#include "base/role_check.h"
#include "base/subtransaction.h"
#include "shmem/preload.h"
#include "job/command.h"
#include "import/import.h"

PG_FUNCTION_INFO_V1(defer_import_pg_cron);

/* ------------------------------------------------------------------------
 * One job
 * ------------------------------------------------------------------------ */

static char *
default_name(const PgCronJob *job)
{
	return psprintf("pg_cron " INT64_FORMAT, job->id);
}

/* Choose the name of the schedule: that of the job, if it has one that is valid here */
static char *
choose_name(const Import *import, const PgCronJob *job, Outcome *outcome)
{
	char	   *name;
	const char *unusable = NULL;

	if (job->name != NULL)
	{
		if (job->name[0] == '\0' || strlen(job->name) > 200)
			unusable = "must have 1 to 200 bytes";
		for (const char *c = job->name; *c != '\0'; c++)
		{
			if ((unsigned char) *c < ' ' || *c == 0x7f)
				unusable = "must not contain control characters";
		}
		if (unusable == NULL)
			return job->name;
		import_note(outcome, "Renamed: the name of a schedule %s.", unusable);
	}
	name = default_name(job);
	for (uint64 i = 0; i < import->cron.njobs; i++)
	{
		const PgCronJob *other = &import->cron.jobs[i];

		if (other->name != NULL && strcmp(other->name, name) == 0 &&
			strcmp(other->user, job->user) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("job " INT64_FORMAT " of that role is called \"%s\"", other->id, name)));
	}
	return name;
}

/* Find the owner.  Returns false, with a note, if this database cannot run the job */
static bool
is_ours(const PgCronJob *job, Outcome *outcome, Oid *owner)
{
	*owner = get_role_oid(job->user, true);
	if (!OidIsValid(*owner))
		import_note(outcome, "Not imported: the role \"%s\" does not exist.", job->user);
	else if (*owner != GetUserId() && !superuser())
		import_note(outcome, "Not imported: it belongs to the role \"%s\", and only superusers import the jobs of others.", job->user);
	else if (strcmp(job->database, get_database_name(MyDatabaseId)) != 0)
		import_note(outcome, "Not imported: it runs in the database \"%s\". Make the schedule there, with defer.cron_command() as the role \"%s\".",
					job->database, job->user);
	else if (!pg_cron_is_here(job))
		import_note(outcome, "Not imported: it runs on the server at \"%s\", port %d, and this one is at port %d.",
					job->node, job->port, PostPortNumber);
	else
		return true;
	return false;
}

/*
 * Choose the schedule: what pg_cron runs, or else (*never) what was meant.  Returns
 * false, with a note, if there is neither.
 */
static bool
choose_schedule(const Import *import, const PgCronJob *job, Outcome *outcome,
				PgCronSchedule *theirs, char *text, bool *never)
{
	bool		readable = pg_cron_parse(job->schedule, &import->cron.rules, theirs);
	CronError	error;
	CronSchedule ours;

	*never = false;
	if (readable && theirs->reboot)
	{
		import_note(outcome, "Not imported: pg_cron runs it when the server starts, which defer has no schedule for.");
		return false;
	}
	if (readable && cron_parse(job->schedule, &ours, NULL) &&
		pg_cron_same(theirs, &import->cron.rules, &ours))
	{
		strlcpy(text, job->schedule, PG_CRON_TEXT);
		return true;
	}
	if (readable && pg_cron_write(job->schedule, theirs, &import->cron.rules, text))
	{
		char		meant[PG_CRON_TEXT];

		/* rather as the author would have */
		if (pg_cron_meant(job->schedule, meant) && cron_parse(meant, &ours, NULL) &&
			pg_cron_same(theirs, &import->cron.rules, &ours))
			strlcpy(text, meant, PG_CRON_TEXT);
		return true;
	}

	*never = true;
	if (!readable)
		import_note(outcome, "pg_cron cannot read \"%s\", and never runs it.", schedule_shown(job->schedule));
	else
		import_note(outcome, "pg_cron never runs \"%s\".", schedule_shown(job->schedule));
	import_note_reading(outcome, job->schedule, theirs);
	if (pg_cron_meant(job->schedule, text))
		return true;
	(void) cron_parse(job->schedule, &ours, &error);
	import_note(outcome, "Not imported: %s. %s", error.message, error.hint);
	return false;
}

/*
 * Note the schedule that is imported instead of the text, and how to get the
 * one that was meant
 */
static void
note_schedule(const PgCronJob *job, Outcome *outcome, const PgCronSchedule *theirs,
			  const Schedule *s, bool never, bool was_there)
{
	char		meant[PG_CRON_TEXT];

	if (never)
	{
		import_note(outcome, "Imported%s as it was presumably meant: %s.",
					was_there ? "" : ", not active,", import_english(s->schedule));
		if (!s->active)
			import_note(outcome, "To run it: %s", import_alter_call(s, "active", "true"));
		return;
	}
	if (strcmp(s->schedule, job->schedule) == 0)
		return;
	if (!pg_cron_meant(job->schedule, meant))
		meant[0] = '\0';
	if (strcmp(s->schedule, meant) == 0)
	{
		import_note(outcome, "Written \"%s\" here.", s->schedule);
		return;
	}
	import_note(outcome, "pg_cron runs \"%s\" as \"%s\" (%s), and so it was imported.",
				schedule_shown(job->schedule), s->schedule, import_english(s->schedule));
	import_note_reading(outcome, job->schedule, theirs);
	if (meant[0] != '\0')
		import_note(outcome, "If \"%s\" was meant: %s", import_english(meant),
					import_alter_call(s, "schedule", quote_literal_cstr(meant)));
}

/*
 * Take over a schedule of that name that is there: all of it but what pg_cron
 * knows.  Returns false if there is none.
 */
static bool
take_over_existing(Schedule *s)
{
	Schedule	existing;

	if (!schedule_lock_by_name(s->owner, s->name, &existing))
		return false;
	if (existing.kind != JOB_COMMAND)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("there is a schedule \"%s\" of %s", s->name, existing.function)));
	existing.command = s->command;
	existing.schedule = s->schedule;
	existing.timezone = s->timezone;
	existing.active_given = true;
	*s = existing;
	return true;
}

static void
note_active(const Import *import, const PgCronJob *job, Outcome *outcome, const Schedule *s,
			bool never, bool was_there)
{
	const char *state = NULL;

	if (!job->active && !was_there)
		import_note(outcome, "Not active, as in pg_cron.");
	if (s->active && job->active && import->cron.loaded && !import->deactivate && !never)
		import_note(outcome, "It runs twice: it is active here and in pg_cron.");
	switch (role_check_state(s->owner))
	{
		case OWNER_SUPERUSER:
			state = "Its runs fail: defer.run_superuser_jobs is off.";
			break;
		case OWNER_NO_LOGIN:
			state = "Its runs wait: its role may not log in.";
			break;
		case OWNER_NO_CONNECT:
			state = "Its runs wait: its role may not connect to this database.";
			break;
		default:
			break;
	}
	if (state != NULL)
		import_note(outcome, "%s", state);
}

static void
import_job(const Import *import, const PgCronJob *job, Outcome *outcome)
{
	PgCronSchedule theirs = {0};
	Schedule	s;
	char		text[PG_CRON_TEXT];
	bool		never;
	bool		was_there;

	schedule_default_options(&s);
	s.kind = JOB_COMMAND;
	s.function = COMMAND_FUNCTION;
	s.command = job->command;
	s.schedule = text;
	s.timezone = pstrdup(import->cron.zone);
	s.overlap = "queue";
	s.catch_up = "none";
	if (!is_ours(job, outcome, &s.owner))
		return;
	s.name = choose_name(import, job, outcome);
	outcome->name = MemoryContextStrdup(import->context, s.name);
	if (!choose_schedule(import, job, outcome, &theirs, text, &never))
		return;
	s.timezone = pstrdup(pg_get_timezone_name(schedule_check_zone(s.timezone)));
	command_check(s.command);
	s.active = job->active && !never && import->deactivate;
	s.active_given = true;
	was_there = take_over_existing(&s);
	(void) schedule_make(&s, true, true);
	if (import->deactivate && import->cron.loaded && job->active)
		pg_cron_switch_off(job);
	outcome->schedule = MemoryContextStrdup(import->context, text);
	outcome->imported = true;
	note_schedule(job, outcome, &theirs, &s, never, was_there);
	if (!never)
		import_note_clocks(outcome, import, &theirs, &s);
	note_active(import, job, outcome, &s, never, was_there);
}

/* Note why nothing of the job is imported.  The message may quote what its owner wrote */
static void
note_error(Outcome *outcome, const ErrorData *error)
{
	resetStringInfo(&outcome->note);
	outcome->imported = false;
	import_note(outcome, "Not imported: %s.", schedule_shown(error->message));
	if (error->detail != NULL)
		import_note(outcome, "%s", error->detail);
	if (error->hint != NULL)
		import_note(outcome, "%s", error->hint);
}

/* The import of a job, in a subtransaction */
typedef struct Attempt
{
	const Import *import;
	const PgCronJob *job;
	Outcome    *outcome;
} Attempt;

static void
attempt_import(void *arg)
{
	Attempt    *attempt = arg;

	import_job(attempt->import, attempt->job, attempt->outcome);
}

/* Import a job, or note why that fails: an error undoes this job and no other */
static void
try_job(const Import *import, const PgCronJob *job, Outcome *outcome)
{
	Attempt		attempt = {import, job, outcome};
	ErrorData  *error = subtransaction_try(attempt_import, &attempt);

	if (error == NULL)
		return;
	/* not the job's fault: a request to stop */
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		ReThrowError(error);
	note_error(outcome, error);
}

/* ------------------------------------------------------------------------
 * All of them
 * ------------------------------------------------------------------------ */

static void
put_outcome(ReturnSetInfo *result, const PgCronJob *job, const Outcome *outcome)
{
	Datum		values[5];
	bool		nulls[5] = {false};

	values[0] = Int64GetDatum(job->id);
	values[1] = CStringGetTextDatum(outcome->name != NULL ? outcome->name :
									job->name != NULL ? job->name : default_name(job));
	values[2] = CStringGetTextDatum(outcome->imported ? outcome->schedule : job->schedule);
	values[3] = BoolGetDatum(outcome->imported);
	nulls[4] = outcome->note.len == 0;
	if (!nulls[4])
		values[4] = CStringGetTextDatum(outcome->note.data);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
report(const Import *import, uint64 imported)
{
	ereport(NOTICE,
			(errmsg("imported " UINT64_FORMAT " of " UINT64_FORMAT " jobs of pg_cron",
					imported, import->cron.njobs),
			 imported == 0 ? 0 :
			 !import->cron.loaded ? errdetail("The server has not loaded pg_cron: it runs none of them. Its version is taken for 1.%d, its time zone for UTC.",
											  import->cron.rules.minor) :
			 import->deactivate ? errdetail("They are switched off in pg_cron, and run here, once you commit.") :
			 errdetail("pg_cron goes on running them; new ones are not active here.")));
}

/* defer.import_pg_cron(deactivate) */
Datum
defer_import_pg_cron(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext scratch;
	uint64		imported = 0;
	Import		import = {0};

	PreventCommandIfReadOnly("defer.import_pg_cron()");
	InitMaterializedSRF(fcinfo, 0);
	import.deactivate = PG_ARGISNULL(0) || PG_GETARG_BOOL(0);
	import.context = CurrentMemoryContext;
	pg_cron_open(&import.cron, import.deactivate);
	warn_if_not_preloaded();

	scratch = AllocSetContextCreate(import.context, "defer import", ALLOCSET_DEFAULT_SIZES);
	for (uint64 i = 0; i < import.cron.njobs; i++)
	{
		Outcome		outcome = {0};

		CHECK_FOR_INTERRUPTS();
		initStringInfo(&outcome.note);
		MemoryContextSwitchTo(scratch);
		try_job(&import, &import.cron.jobs[i], &outcome);
		MemoryContextSwitchTo(import.context);
		MemoryContextReset(scratch);
		put_outcome(result, &import.cron.jobs[i], &outcome);
		imported += outcome.imported;
	}
	report(&import, imported);
	PG_RETURN_NULL();
}
