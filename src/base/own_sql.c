/*
 * own_sql.c
 *		The extension's own SQL, run as the extension's owner.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "base/catalog.h"
#include "base/own_sql.h"

/*
 * From here on the current user is the extension's owner and names are found
 * in pg_catalog only.  SECURITY_LOCAL_USERID_CHANGE keeps SET ROLE and the
 * like from being run under it; row security of our own tables is the
 * owner's affair and off.
 */
void
own_sql_begin(OwnSql *state)
{
	GetUserIdAndSecContext(&state->user, &state->security_context);
	SetUserIdAndSecContext(catalog_owner(),
						   state->security_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_NOFORCE_RLS);
	state->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("row_security", "on",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
own_sql_end(OwnSql *state)
{
	AtEOXact_GUC(false, state->guc_level);
	SetUserIdAndSecContext(state->user, state->security_context);
}

uint64
own_sql_run(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls,
			int expected)
{
	int			result;

	Assert(InLocalUserIdChange());	/* after own_sql_begin() */
	result = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);
	if (result != expected)
		elog(ERROR, "unexpected result %s of \"%s\"", SPI_result_code_string(result), sql);
	return SPI_processed;
}

uint64
own_sql_execute(const char *sql, int expected)
{
	return own_sql_run(sql, 0, NULL, NULL, NULL, expected);
}
