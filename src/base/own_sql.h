/*
 * own_sql.h
 *		The extension's own SQL.
 */
#ifndef DEFER_OWN_SQL_H
#define DEFER_OWN_SQL_H

/*
 * Our own SQL through SPI: between the two, the current user is the
 * extension's owner, search_path is pg_catalog, pg_temp, and row security and
 * user settings have no say.  own_sql_end also undoes it; an error between
 * them is undone by the (sub)transaction's abort.  Nest freely.
 */
typedef struct OwnSql
{
	Oid			user;
	int			security_context;
	int			guc_level;
} OwnSql;
extern void own_sql_begin(OwnSql *state);
extern void own_sql_end(OwnSql *state);

/* Run a statement between the two, in SPI; returns SPI_processed */
extern uint64 own_sql_run(const char *sql, int nargs, Oid *types, Datum *values,
						  const char *nulls, int expected);
extern uint64 own_sql_execute(const char *sql, int expected);	/* without parameters */

#endif							/* DEFER_OWN_SQL_H */
