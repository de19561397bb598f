/*
 * pg_cron_jobs.c
 *		pg_cron as it is here: its table of jobs, its settings, its switch.
 *
 * Superusers make schedules of other roles from what a table called cron.job
 * says.  So it must be the one of the extension pg_cron, whose rows pg_cron
 * itself runs as the roles in them: any role that may create schemas could
 * have made another.  It is read, and written, with the rights of the caller,
 * and its row security shows him his own jobs.  Of settings only those count
 * that the library has defined: in its absence any role can set anything
 * called cron.timezone.
 */
#include "postgres.h"

#include <ctype.h>

#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "postmaster/postmaster.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "import/pg_cron_jobs.h"

/* ------------------------------------------------------------------------
 * SQL as the caller
 * ------------------------------------------------------------------------ */

/* Names are found in pg_catalog only, until the matching AtEOXact_GUC() */
static int
pin_search_path(void)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

/*
 * Run a statement between SPI_connect() and SPI_finish().  Not by own_sql_run(),
 * which would run it as the extension's owner: the rights and the row security of
 * the caller decide.
 */
static void
run_as_caller(const char *sql, int expected, int nargs, Oid *types, Datum *values)
{
	int			level = pin_search_path();
	int			result = SPI_execute_with_args(sql, nargs, types, values, NULL, false, 0);

	if (result != expected)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(result), sql);
	AtEOXact_GUC(false, level);
}

/* ------------------------------------------------------------------------
 * pg_cron, as it is here
 * ------------------------------------------------------------------------ */

/* A setting that the library of pg_cron has defined; NULL: it has not */
static const char *
library_setting(const char *name)
{
	if ((GetConfigOptionFlags(name, true) & GUC_CUSTOM_PLACEHOLDER) != 0)
		return NULL;
	return GetConfigOption(name, true, false);
}

static bool
library_switch(const char *name)
{
	const char *value = library_setting(name);

	return value != NULL && strcmp(value, "on") == 0;
}

static void
not_installed(void)
{
	const char *database = superuser() ? library_setting("cron.database_name") : NULL;

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("pg_cron is not installed in this database"),
			 database == NULL || strcmp(database, get_database_name(MyDatabaseId)) == 0 ? 0 :
			 errdetail("It has its jobs in the database \"%s\".", database),
			 errhint("Import from the database that has the table cron.job.")));
}

/* Owner and version of the extension */
static Oid
read_extension(Oid extension, int *minor)
{
	Oid			type = OIDOID;
	Datum		value = ObjectIdGetDatum(extension);
	bool		isnull;
	Oid			owner;
	char	   *version;

	SPI_connect();
	run_as_caller("SELECT e.extowner, e.extversion FROM pg_catalog.pg_extension e"
				  " WHERE e.oid OPERATOR(pg_catalog.=) $1", SPI_OK_SELECT, 1, &type, &value);
	if (SPI_processed != 1)
		elog(ERROR, "could not read extension %u", extension);
	owner = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
										   &isnull));
	version = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	if (version != NULL && strncmp(version, "1.", 2) == 0 && isdigit((unsigned char) version[2]))
		*minor = (int) strtol(version + 2, NULL, 10);
	else
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("version \"%s\" of pg_cron is not known", version == NULL ? "" : version),
				 errdetail("The jobs of pg_cron 1 can be imported.")));
	SPI_finish();
	return owner;
}

/*
 * Check that cron.job is the table of the extension pg_cron.  Lock it, so that
 * it is the same when it is read.
 */
static void
check_job_table(PgCron *cron)
{
	Oid			extension = get_extension_oid("pg_cron", true);
	Oid			schema = get_namespace_oid("cron", true);
	Oid			table = OidIsValid(schema) ? get_relname_relid("job", schema) : InvalidOid;
	Oid			owner;
	Relation	rel;

	if (!OidIsValid(table))
		not_installed();
	rel = try_relation_open(table, AccessShareLock);
	if (rel == NULL)
		not_installed();
	if (!OidIsValid(extension) || rel->rd_rel->relkind != RELKIND_RELATION ||
		getExtensionOfObject(RelationRelationId, table) != extension)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cron.job is not the table of the extension pg_cron"),
				 errdetail("Its owner is the role \"%s\". What it says is not to be trusted.",
						   GetUserNameFromId(rel->rd_rel->relowner, true)),
				 errhint("Import from the database in which pg_cron was made with CREATE EXTENSION.")));
	owner = read_extension(extension, &cron->rules.minor);
	if (rel->rd_rel->relowner != owner && !superuser_arg(rel->rd_rel->relowner))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cron.job belongs to the role \"%s\", and not to the owner of the extension pg_cron",
						GetUserNameFromId(rel->rd_rel->relowner, true)),
				 errdetail("What it says is not to be trusted.")));
	cron->has_active = get_attnum(table, "active") != InvalidAttrNumber;
	cron->has_name = get_attnum(table, "jobname") != InvalidAttrNumber;
	relation_close(rel, NoLock);
}

/*
 * The library's settings tell which one it is: the version of the extension may
 * be behind.
 */
static void
read_rules(PgCron *cron)
{
	const char *zone = library_setting("cron.timezone");

	cron->loaded = library_setting("cron.database_name") != NULL;
	if (cron->loaded)
		cron->rules.minor = library_setting("cron.launch_active_jobs") != NULL ? 6 :
			zone != NULL ? 5 : 4;
	cron->rules.both_days = library_switch("cron.match_dom_and_dow");
	cron->zone = zone == NULL || pg_strcasecmp(zone, "GMT") == 0 ? "UTC" : zone;
}

static Oid
alter_job_function(void)
{
	Oid			types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID};
	Oid			function;

	function = LookupFuncName(list_make2(makeString("cron"), makeString("alter_job")),
							  lengthof(types), types, true);
	if (!OidIsValid(function) ||
		getExtensionOfObject(ProcedureRelationId, function) != get_extension_oid("pg_cron", true))
		return InvalidOid;
	return function;
}

/* Check that the caller may switch off the jobs that he imports */
static void
check_may_deactivate(const PgCron *cron)
{
	Oid			function;

	if (!cron->loaded)
		return;
	if (!cron->has_active)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("jobs cannot be switched off in this version of pg_cron"),
				 errhint("Use defer.import_pg_cron(deactivate => false), then cron.unschedule() and defer.alter_cron(..., active => true).")));
	if (superuser())
		return;
	function = alter_job_function();
	if (!OidIsValid(function) || !compat_may_execute(function, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to switch off jobs of pg_cron"),
				 errdetail("Only superusers and roles that may execute cron.alter_job() can do that."),
				 errhint("Use defer.import_pg_cron(deactivate => false), then cron.unschedule() and defer.alter_cron(..., active => true).")));
}

static void
read_jobs(PgCron *cron)
{
	MemoryContext context = CurrentMemoryContext;
	TupleDesc	desc;
	bool		isnull;
	char	   *sql;

	sql = psprintf("SELECT j.jobid::pg_catalog.int8, j.schedule::pg_catalog.text, j.command::pg_catalog.text,"
				   " j.nodename::pg_catalog.text, j.nodeport::pg_catalog.int4, j.database::pg_catalog.text,"
				   " j.username::pg_catalog.text, %s::pg_catalog.bool, %s::pg_catalog.text"
				   " FROM ONLY cron.job j ORDER BY j.jobid",
				   cron->has_active ? "j.active" : "true",
				   cron->has_name ? "j.jobname" : "NULL");
	SPI_connect();
	run_as_caller(sql, SPI_OK_SELECT, 0, NULL, NULL);
	desc = SPI_tuptable->tupdesc;
	MemoryContextSwitchTo(context);
	cron->njobs = SPI_processed;
	cron->jobs = MemoryContextAllocExtended(context, sizeof(PgCronJob) * Max(SPI_processed, 1),
											MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		PgCronJob  *job = &cron->jobs[i];

#define TEXT(n) SPI_getvalue(row, desc, n)
		job->id = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
		job->schedule = TEXT(2);
		job->command = TEXT(3);
		job->node = TEXT(4);
		job->port = DatumGetInt32(SPI_getbinval(row, desc, 5, &isnull));
		job->database = TEXT(6);
		job->user = TEXT(7);
		job->active = DatumGetBool(SPI_getbinval(row, desc, 8, &isnull));
		job->name = TEXT(9);
#undef TEXT
	}
	SPI_finish();
}

bool
pg_cron_is_here(const PgCronJob *job)
{
	static const char *const names[] = {"", "localhost", "127.0.0.1", "::1"};
	const char *host = library_setting("cron.host");

	if (library_switch("cron.use_background_workers"))
		return true;
	if (job->port != PostPortNumber)
		return false;
	for (int i = 0; i < lengthof(names); i++)
	{
		if (strcmp(job->node, names[i]) == 0)
			return true;
	}
	return job->node[0] == '/' || (host != NULL && strcmp(job->node, host) == 0);
}

void
pg_cron_switch_off(const PgCronJob *job)
{
	Oid			type = INT8OID;
	Datum		value = Int64GetDatum(job->id);

	SPI_connect();
	if (superuser())
	{
		/* cron.alter_job() may be forbidden to superusers */
		run_as_caller("UPDATE ONLY cron.job j SET active = false WHERE j.jobid OPERATOR(pg_catalog.=) $1",
					  SPI_OK_UPDATE, 1, &type, &value);
		if (SPI_processed != 1)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("job " INT64_FORMAT " no longer exists in cron.job", job->id)));
		/* pg_cron reads them anew, even if triggers are off in this session */
		CacheInvalidateRelcacheByRelid(get_relname_relid("job", get_namespace_oid("cron", false)));
	}
	else
		run_as_caller("SELECT cron.alter_job($1, NULL::pg_catalog.text, NULL::pg_catalog.text,"
					  " NULL::pg_catalog.text, NULL::pg_catalog.text, false)",
					  SPI_OK_SELECT, 1, &type, &value);
	SPI_finish();
}

/* See import/pg_cron_jobs.h */
void
pg_cron_open(PgCron *cron, bool deactivate)
{
	memset(cron, 0, sizeof(PgCron));
	check_job_table(cron);
	read_rules(cron);
	if (deactivate)
		check_may_deactivate(cron);
	read_jobs(cron);
}
