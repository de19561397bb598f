/*
 * citus_nodes.c
 *		Commands on other nodes of Citus.
 *
 * Citus connects to them: it knows their addresses, what stands in citus.node_conninfo, and
 * who may log in.  Its function takes arrays of nodes and commands, uses a connection of its
 * own for each, and logs in as the current user.  So a command has that role's rights there.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "base/citus.h"
#include "base/citus_nodes.h"

/* $1: one node, or CITUS_ALL_NODES; $2: this one; $3: the command */
static const char *const nodes_sql =
"SELECT pg_catalog.array_agg(d.nodename::pg_catalog.text ORDER BY d.groupid),"
" pg_catalog.array_agg(d.nodeport ORDER BY d.groupid), pg_catalog.array_agg($3 ORDER BY d.groupid),"
" pg_catalog.array_agg(d.groupid ORDER BY d.groupid)"
" FROM pg_catalog.pg_dist_node d"
" WHERE d.isactive AND d.noderole::pg_catalog.text OPERATOR(pg_catalog.=) 'primary'"
" AND d.groupid OPERATOR(pg_catalog.<>) $2"
" AND ($1 OPERATOR(pg_catalog.<) 0 OR d.groupid OPERATOR(pg_catalog.=) $1)"
" HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 0";

/* $1 to $4: these arrays */
static const char *const ask_sql =
"SELECT n.node, pg_catalog.format('%s:%s', n.name, n.port), r.success, r.result"
" FROM pg_catalog.master_run_on_worker($1, $2, $3, true) r"
" JOIN ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($4)) n(name, port, node)"
" ON n.name OPERATOR(pg_catalog.=) r.node_name AND n.port OPERATOR(pg_catalog.=) r.node_port"
" ORDER BY n.node";

/* Have Citus give up connecting in time, unless it does so earlier */
static void
limit_time_to_connect(void)
{
	const char *now = GetConfigOption("citus.node_connection_timeout", true, false);

	if (now == NULL || atoi(now) > CITUS_NODE_TIME)
		(void) set_config_option("citus.node_connection_timeout",
								 psprintf("%d", CITUS_NODE_TIME), PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/* The answers of the statement that SPI has run, in that memory context */
static List *
read_answers(MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	TupleDesc	desc = SPI_tuptable->tupdesc;
	List	   *answers = NIL;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		NodeAnswer *answer = palloc0(sizeof(NodeAnswer));
		char	   *text = SPI_getvalue(row, desc, 4);
		bool		isnull;

		answer->node = DatumGetInt32(SPI_getbinval(row, desc, 1, &isnull));
		answer->address = SPI_getvalue(row, desc, 2);
		answer->answered = DatumGetBool(SPI_getbinval(row, desc, 3, &isnull));
		answer->text = text != NULL ? text : pstrdup("");
		answers = lappend(answers, answer);
	}
	MemoryContextSwitchTo(old);
	return answers;
}

static void
run(const char *sql, int nargs, Oid *types, Datum *values)
{
	if (SPI_execute_with_args(sql, nargs, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the nodes of Citus");
}

List *
citus_ask(int32 node, const char *command)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			which[] = {INT4OID, INT4OID, TEXTOID};
	Datum		values[4];
	List	   *answers = NIL;
	int			level;

	if (!citus_here())
		return NIL;
	values[0] = Int32GetDatum(node);
	values[1] = Int32GetDatum(citus_node());
	values[2] = CStringGetTextDatum(command);
	PushActiveSnapshot(GetLatestSnapshot());
	level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	limit_time_to_connect();
	SPI_connect();
	run(nodes_sql, lengthof(which), which, values);
	if (SPI_processed > 0)
	{
		Oid			arrays[] = {TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID, INT4ARRAYOID};

		for (int i = 0; i < lengthof(arrays); i++)
		{
			bool		isnull;

			values[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &isnull);
		}
		run(ask_sql, lengthof(arrays), arrays, values);
		answers = read_answers(context);
	}
	SPI_finish();
	AtEOXact_GUC(true, level);
	PopActiveSnapshot();
	return answers;
}
