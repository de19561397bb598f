/*
 * fit.c
 *		Which functions can be jobs.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "function/function.h"

/* Return why a function cannot be run as a job; NULL: it can */
const char *
function_unfit(Form_pg_proc form)
{
	/*
	 * another session may have a temporary schema of that name later, with a
	 * function of its own
	 */
	if (isAnyTempNamespace(form->pronamespace))
		return "It is in a temporary schema, which belongs to this session.";
	if (form->prokind == PROKIND_AGGREGATE)
		return "It is an aggregate function.";
	if (form->prokind == PROKIND_WINDOW)
		return "It is a window function.";
	if (form->prorettype == TRIGGEROID || form->prorettype == EVENT_TRIGGEROID)
		return "It is a trigger function.";
	if (get_typtype(form->prorettype) == TYPTYPE_PSEUDO && form->prorettype != VOIDOID &&
		form->prorettype != RECORDOID)
		return "Its result is of a pseudo-type.";
	for (int i = 0; i < form->pronargs; i++)
	{
		if (get_typtype(form->proargtypes.values[i]) == TYPTYPE_PSEUDO)
			return "It has a parameter of a pseudo-type.";
	}
	return NULL;
}

bool
function_is_fit(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		fit;

	if (!HeapTupleIsValid(tuple))
		return false;
	fit = function_unfit((Form_pg_proc) GETSTRUCT(tuple)) == NULL;
	ReleaseSysCache(tuple);
	return fit;
}

/* Raise an error if it cannot; one that has just been dropped is left to function_entry() */
void
function_check_fit(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	const char *reason;

	if (!HeapTupleIsValid(tuple))
		return;
	reason = function_unfit((Form_pg_proc) GETSTRUCT(tuple));
	if (reason != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("function %s cannot be run as a job",
						function_signature((Form_pg_proc) GETSTRUCT(tuple))),
				 errdetail("%s", reason),
				 errhint("Wrap it in a function of your own.")));
	ReleaseSysCache(tuple);
}
