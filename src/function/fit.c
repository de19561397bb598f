/*
 * fit.c
 *		Which functions can be jobs.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
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

/* ------------------------------------------------------------------------
 * Steps
 * ------------------------------------------------------------------------ */

/* Check whether the text of a procedure calls a step, as far as one can see */
static bool
calls_steps(HeapTuple tuple)
{
	static const char *const calls[] = {
		"defer.step", "defer.end_step", "defer.sleep", "defer.wait_job", "defer.wait_event", "defer.request"
	};
	bool		isnull;
	Datum		source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);
	char	   *lower;

	if (isnull)
		return false;
	lower = TextDatumGetCString(source);
	lower = asc_tolower(lower, strlen(lower));
	for (int i = 0; i < lengthof(calls); i++)
	{
		if (strstr(lower, calls[i]) != NULL)
			return true;
	}
	return false;
}

/* Return why steps that a procedure has cannot be committed; NULL: nothing speaks against it */
const char *
function_misplaced_steps(HeapTuple tuple)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);
	const char *reason = NULL;

	if (form->prokind != PROKIND_PROCEDURE)
		return NULL;
	if (form->prosecdef)
		reason = "It has SECURITY DEFINER.";
	else if (!heap_attisnull(tuple, Anum_pg_proc_proconfig, NULL))
		reason = "It has a SET clause.";
	else if (form->prolang == SQLlanguageId)
		reason = "It is in SQL.";
	return reason != NULL && calls_steps(tuple) ? reason : NULL;
}

void
function_warn_of_steps(FunctionEntry *entry)
{
	const char *reason = entry->misplaced_steps;

	if (reason == NULL)
		return;
	entry->misplaced_steps = NULL;
	ereport(WARNING,
			(errmsg("steps of procedure %s cannot be committed", entry->signature),
			 errdetail("%s", reason),
			 errhint("Call them in a procedure in PL/pgSQL without SECURITY DEFINER and SET; its steps may run functions that have them.")));
}
