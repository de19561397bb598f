/*
 * partitions.c
 *		The partitions of defer.job_history, attempt and log, one for each UTC day:
 *		made some days ahead, dropped when they are older than defer.retention.
 *
 * Both need locks that conflict with a long transaction that reads these
 * tables, and sessions that come later would have to wait behind us.  So we
 * wait for a moment only, and try again later; meanwhile rows go to the
 * default partition, and are moved when their day's partition is made.
 *
 * A database in which nothing has happened gets none: in one that is just
 * being restored the dump brings them.
 */
#include "postgres.h"
#include "table/day_partition.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/tablespace.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/own_sql.h"
#include "base/own_transaction.h"
#include "shmem/dependents_told.h"
#include "table/failure_table.h"
#include "table/rerun_line.h"
#include "table/rollup.h"

/* Days that are made ahead, today not counted */
#define DAYS_AHEAD		3

/* When a lock was not to be had (microseconds) */
#define RETRY_PAUSE		(60 * USECS_PER_SEC)
#define LOCK_TIMEOUT	"200ms"

typedef struct Parent
{
	const char *name;
	const char *column;			/* that it is partitioned by */
	const char *const *indexes; /* of its partitions: end of the name, what;
								 * NULL ends them */
} Parent;

/*
 * As in sql/src/tables.sql.  table/history_table.c evaluates the conditions by itself, and knows
 * only what stands here; bulk/job_search.c says which index is for what.
 */
static const char *const history_indexes[] = {
	"id", "(id)",
	"parent", "(parent_id, id) WHERE parent_id IS NOT NULL",
	"schedule", "(schedule_id, id) WHERE schedule_id IS NOT NULL",
	"trouble", "(id) WHERE state OPERATOR(pg_catalog.<>) 's' OR error IS NOT NULL",
	NULL
};

static const char *const job_id_index[] = {
	"job_id", "(job_id)",
	NULL
};

static const Parent parents[] = {
	{"job_history", "finished_at", history_indexes},
	{"attempt", "finished_at", job_id_index},
	{"log", "at", job_id_index},
};

static char *
partition_name(const Parent *parent, int64 day)
{
	char	   *name = palloc(NAMEDATALEN);

	day_partition_name(name, parent->name, day);
	return name;
}

/* The lower bound of a day's partition */
static char *
day_start(int64 day)
{
	int			year,
				month,
				dom;

	j2date((int) day + POSTGRES_EPOCH_JDATE, &year, &month, &dom);
	return psprintf("%04d-%02d-%02d 00:00:00+00", year, month, dom);
}

/* Run a utility statement */
static void
run(const char *sql)
{
	(void) own_sql_execute(sql, SPI_OK_UTILITY);
}

/* Check whether a query returns any row */
static bool
exists(const char *sql)
{
	return own_sql_execute(sql, SPI_OK_SELECT) > 0;
}

/* ------------------------------------------------------------------------
 * Make
 * ------------------------------------------------------------------------ */

/*
 * Let no role but the owner read it, whatever default privileges say: rows of
 * all roles are in it.
 */
static void
revoke_all(const char *name)
{
	char	   *sql = psprintf("SELECT DISTINCT CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'"
							   " ELSE pg_catalog.quote_ident(r.rolname) END"
							   " FROM pg_catalog.pg_class c"
							   " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
							   " CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a"
							   " LEFT JOIN pg_catalog.pg_authid r ON r.oid OPERATOR(pg_catalog.=) a.grantee"
							   " WHERE n.nspname OPERATOR(pg_catalog.=) 'defer' AND c.relname OPERATOR(pg_catalog.=) '%s'"
							   " AND a.grantee OPERATOR(pg_catalog.<>) c.relowner", name);
	uint64		n = own_sql_execute(sql, SPI_OK_SELECT);
	char	  **grantees = palloc(Max(n, 1) * sizeof(char *));

	for (uint64 i = 0; i < n; i++)
		grantees[i] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
	for (uint64 i = 0; i < n; i++)
		run(psprintf("REVOKE ALL ON defer.%s FROM %s", name, grantees[i]));
}

static void
make_partition(const Parent *parent, int64 day)
{
	char	   *name = partition_name(parent, day);
	char	   *range = psprintf("%s OPERATOR(pg_catalog.>=) '%s' AND %s OPERATOR(pg_catalog.<) '%s'",
								 parent->column, day_start(day),
								 parent->column, day_start(day + 1));

	if (exists(psprintf("SELECT FROM pg_catalog.pg_class c"
						" JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
						" WHERE n.nspname OPERATOR(pg_catalog.=) 'defer' AND c.relname OPERATOR(pg_catalog.=) '%s'",
						name)))
		return;
	run(psprintf("CREATE TABLE defer.%s (LIKE defer.%s INCLUDING DEFAULTS INCLUDING STORAGE) USING heap",
				 name, parent->name));
	revoke_all(name);
	run(psprintf("COMMENT ON TABLE defer.%s IS 'partition of defer.%s for one UTC day'",
				 name, parent->name));

	/* as functions_restore.sql has it for the default partition */
	run(psprintf("ALTER TABLE defer.%s REPLICA IDENTITY FULL", name));
	run(psprintf("CREATE TRIGGER owner_only BEFORE INSERT OR UPDATE OR DELETE ON defer.%s"
				 " FOR EACH STATEMENT EXECUTE FUNCTION defer.owner_only()", name));
	run(psprintf("COMMENT ON TRIGGER owner_only ON defer.%s IS"
				 " 'also not by pg_write_all_data: rows say as whom something is done, or was'", name));
	for (int i = 0; parent->indexes[i] != NULL; i += 2)
		run(psprintf("CREATE INDEX %s_%s_idx ON defer.%s %s", name, parent->indexes[i], name,
					 parent->indexes[i + 1]));

	/*
	 * A session that has seen which partitions there are, and then waits for
	 * the lock of the default one, would miss the rows that are moved.  So
	 * that sessions wait before they look, the parent is locked first.
	 */
	run(psprintf("LOCK TABLE ONLY defer.%s IN ACCESS EXCLUSIVE MODE", parent->name));
	run(psprintf("LOCK TABLE defer.%s_default IN ACCESS EXCLUSIVE MODE", parent->name));
	own_sql_execute(psprintf("WITH moved AS (DELETE FROM defer.%s_default WHERE %s RETURNING *)"
							 " INSERT INTO defer.%s SELECT * FROM moved", parent->name, range, name),
					SPI_OK_INSERT);
	run(psprintf("ALTER TABLE defer.%s ATTACH PARTITION defer.%s FOR VALUES FROM ('%s') TO ('%s')",
				 parent->name, name, day_start(day), day_start(day + 1)));
}

/* ------------------------------------------------------------------------
 * Drop
 * ------------------------------------------------------------------------ */

/* Partitions of days that are over for good; *n of them, in SPI's memory */
static char **
old_partitions(const Parent *parent, int64 first_kept, uint64 *n)
{
	char	  **names;

	*n = own_sql_execute(psprintf("SELECT c.relname FROM pg_catalog.pg_inherits i"
								  " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.inhrelid"
								  " JOIN pg_catalog.pg_class p ON p.oid OPERATOR(pg_catalog.=) i.inhparent"
								  " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.relnamespace"
								  " AND n.oid OPERATOR(pg_catalog.=) c.relnamespace"
								  " WHERE n.nspname OPERATOR(pg_catalog.=) 'defer' AND p.relname OPERATOR(pg_catalog.=) '%s'"
								  " AND c.relname OPERATOR(pg_catalog.~) '^%s_p[0-9]{8,}$'"
								  " AND c.relname::pg_catalog.text COLLATE \"C\" OPERATOR(pg_catalog.<) '%s' COLLATE \"C\"",
								  parent->name, parent->name, partition_name(parent, first_kept)),
						 SPI_OK_SELECT);
	names = palloc(Max(*n, 1) * sizeof(char *));
	for (uint64 i = 0; i < *n; i++)
		names[i] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
	return names;
}

/*
 * A job that has succeeded keeps its row in defer.job until the rest of its
 * batch has ended.  If the worker is lost before, only the history knows that
 * the job is not to be run again: so no row of a job that a claim still names
 * is dropped.
 */
#define NAMED_BY_CLAIM \
	"SELECT FROM defer.claim c CROSS JOIN LATERAL pg_catalog.unnest(c.jobs) j(id)" \
	" WHERE j.id OPERATOR(pg_catalog.=) h.id"

/*
 * Unfinished jobs can ask for the results of those that they came after, and workflows show
 * them: these are kept with the dependency when the history goes.
 */
static void
keep_inputs(const char *table, const char *condition)
{
	(void) own_sql_execute(psprintf("UPDATE defer.dependency d SET function = h.function, result = h.result"
									" FROM defer.%s h WHERE h.id OPERATOR(pg_catalog.=) d.parent_id"
									" AND NOT d.open AND d.function IS NULL AND %s"
									" AND (EXISTS (SELECT FROM defer.job j WHERE j.id OPERATOR(pg_catalog.=) d.child_id)"
									" OR EXISTS (SELECT FROM defer.workflow w WHERE w.id OPERATOR(pg_catalog.=) d.child_id))",
									table, condition), SPI_OK_UPDATE);
}

static void
drop_old(const Parent *parent, int64 first_kept)
{
	const bool	is_history = parent->indexes == history_indexes;
	uint64		n;
	char	  **names = old_partitions(parent, first_kept, &n);
	char	   *old = psprintf("h.%s OPERATOR(pg_catalog.<) '%s'", parent->column,
							   day_start(first_kept));
	uint64		ndropped = 0;

	for (uint64 i = 0; i < n; i++)
	{
		if (is_history &&
			exists(psprintf("SELECT FROM defer.%s h WHERE EXISTS (" NAMED_BY_CLAIM ") LIMIT 1", names[i])))
			continue;
		if (is_history)
			keep_inputs(names[i], "true");
		run(psprintf("DROP TABLE defer.%s", names[i]));
		ndropped++;
	}
	if (is_history)
		keep_inputs("job_history_default", old);
	ndropped += own_sql_execute(psprintf("DELETE FROM defer.%s_default h WHERE %s%s",
										 parent->name, old,
										 is_history ? " AND NOT EXISTS (" NAMED_BY_CLAIM ")" : ""),
								SPI_OK_DELETE);
	if (is_history && ndropped > 0)
		dependents_look_at_all(true);
}

/* ------------------------------------------------------------------------
 * All of it
 * ------------------------------------------------------------------------ */

/*
 * Returns the tablespace that a partition and its indexes go to, as one made
 * with PARTITION OF would: that of the partitioned table.  "" is the database's.
 */
static const char *
parent_tablespace(const Parent *parent)
{
	Oid			schema = get_namespace_oid("defer", false);
	Oid			tablespace = get_rel_tablespace(get_relname_relid(parent->name, schema));
	char	   *name = OidIsValid(tablespace) ? get_tablespace_name(tablespace) : NULL;

	return name != NULL ? name : "";
}

/* In a database where nothing has happened nothing is made */
static bool
is_used(void)
{
	return exists("SELECT FROM (SELECT FROM defer.job UNION ALL SELECT FROM defer.schedule"
				  " UNION ALL SELECT FROM defer.job_history) x LIMIT 1");
}

/*
 * One table, in a transaction of its own; false: a lock was not to be had, or
 * there was an error, which is left in *failure then.  With the first table *used is
 * set if there is anything in the database.
 */
static bool
maintain(const Parent *parent, int64 today, int64 first_kept, volatile bool *used,
		 ErrorData **failure)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool done = false;

	PG_TRY();
	{
		OwnSql		own;

		own_transaction_begin();
		own_sql_begin(&own);
		(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		(void) set_config_option("default_tablespace", parent_tablespace(parent), PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
		SPI_connect();
		/* all or none of them: what happens meanwhile is for the next time */
		if (parent == parents)
			*used = is_used();
		if (*used)
		{
			for (int64 day = today; day <= today + DAYS_AHEAD; day++)
				make_partition(parent, day);
		}
		if (first_kept > 0)
		{
			drop_old(parent, first_kept);
			if (parent->indexes == history_indexes)
			{
				rollup_forget(first_kept * USECS_PER_DAY);
				failure_forget(first_kept * USECS_PER_DAY);
				rerun_line_forget(first_kept * USECS_PER_DAY);
			}
		}
		SPI_finish();
		own_sql_end(&own);
		own_transaction_end();
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		MemoryContextSwitchTo(context);
		if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		{
			ereport(LOG,
					(errcode(error->sqlerrcode),
					 errmsg("defer could not maintain the partitions of defer.%s: %s",
							parent->name, error->message)));
			if (*failure != NULL)
				FreeErrorData(*failure);
			*failure = error;
		}
	}
	PG_END_TRY();
	return done;
}

/*
 * Returns when to call it again, DT_NOEND if that is when something has
 * happened; outside a transaction.
 */
TimestampTz
partitions_maintain(TimestampTz now, ErrorData **error)
{
	int64		today = day_of_time(now);
	int64		first_kept = 0;
	bool		done = true;
	volatile bool used = false;

	*error = NULL;
	if (defer_retention > 0)
		first_kept = day_of_time(now - (TimestampTz) defer_retention * USECS_PER_MINUTE);
	for (int i = 0; i < lengthof(parents); i++)
	{
		if (!maintain(&parents[i], today, first_kept, &used, error))
			done = false;
	}
	if (done && !used)
		return DT_NOEND;
	return done ? (today + 1) * USECS_PER_DAY + USECS_PER_MINUTE : now + RETRY_PAUSE;
}
