/*
 * table_check.c
 *		Refusing tables that are not as this version of defer made them.
 *
 * Columns of our tables are addressed by number.  An upgrade script must never
 * drop one: new installations and upgraded ones would differ, and partitions
 * made later (CREATE TABLE ... LIKE) would differ from the older ones of the
 * same table.  Further columns at the end, made by a later version or by a
 * user, are left NULL.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "utils/rel.h"

#include "base/table_check.h"

static void
not_as_made(Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"defer.%s\" does not have the columns that this version of defer expects",
					RelationGetRelationName(rel)),
			 errhint("Run ALTER EXTENSION defer UPDATE.")));
}

void
table_check_columns(Relation rel, const char *const *columns, int ncolumns)
{
	TupleDesc	desc = RelationGetDescr(rel);

	if (desc->natts < ncolumns)
		not_as_made(rel);
	for (int i = 0; i < ncolumns; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->attisdropped || strcmp(NameStr(attribute->attname), columns[i]) != 0)
			not_as_made(rel);
	}
}

void
table_check(Relation rel, const char *const *columns, int ncolumns)
{
	if (rel->rd_tableam != GetHeapamTableAmRoutine())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"defer.%s\" is not of the access method \"heap\"",
						RelationGetRelationName(rel)),
				 errhint("Run ALTER TABLE defer.%s SET ACCESS METHOD heap.",
						 RelationGetRelationName(rel))));
	table_check_columns(rel, columns, ncolumns);
}
