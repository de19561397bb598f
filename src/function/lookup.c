/*
 * lookup.c
 *		The function that a user means by a name, or a job by its signature, and
 *		whether it can be a job.
 *
 * A signature is the schema-qualified name and the types of the input
 * parameters, those of pg_catalog without their schema: the same text whatever
 * search_path is in force.  It is compared as text with those of the functions
 * of that name, never parsed.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "base/compat.h"
#include "base/job_kind.h"
#include "function/function.h"

/* Longest signature of a function that jobs run, in bytes: it is in indexes */
#define SIGNATURE_MAX	1500

static void
check_may_execute(const FunctionEntry *entry)
{
	if (!compat_may_execute(entry->oid, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function %s", entry->signature),
				 errhint("Its owner can GRANT EXECUTE on it.")));
}

/* ------------------------------------------------------------------------
 * By name
 * ------------------------------------------------------------------------ */

const char *
function_types_in(const char *given)
{
	bool		quoted = false;

	for (const char *p = given; *p != '\0'; p++)
	{
		if (*p == '"')
			quoted = !quoted;
		else if (*p == '(' && !quoted)
			return p;
	}
	return NULL;
}

static int
compare_strings(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/* List signatures of functions for a hint, sorted */
static char *
list_signatures(const Oid *functions, int n)
{
	List	   *signatures = NIL;
	ListCell   *cell;
	StringInfoData list;

	for (int i = 0; i < n; i++)
	{
		FunctionEntry *entry = function_entry(functions[i]);

		if (entry != NULL)
			signatures = lappend(signatures, entry->signature);
	}
	list_sort(signatures, compare_strings);
	initStringInfo(&list);
	foreach(cell, signatures)
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", (char *) lfirst(cell));
	return list.data;
}

/* List functions of that name in all schemas, for a hint; "" if there are none */
static char *
elsewhere(const char *name)
{
	CatCList   *list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
	StringInfoData found;
	int			n = 0;

	initStringInfo(&found);
	for (int i = 0; i < list->n_members && n < 5; i++)
	{
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(&list->members[i]->tuple);

		if (function_unfit(form) == NULL)
			appendStringInfo(&found, "%s%s", n++ > 0 ? ", " : "", function_signature(form));
	}
	ReleaseSysCacheList(list);
	return found.data;
}

static void
no_such_function(const char *given, List *name)
{
	char	   *others = name != NIL ? elsewhere(strVal(llast(name))) : "";

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 errmsg("function \"%s\" does not exist", given),
			 others[0] != '\0' ?
			 errhint("There is %s: give its schema, or add that to search_path.", others) :
			 errhint("Give the name of a function, as in 'fn' or 'schema.fn(bigint,text)'.")));
}

static void
not_unique(const char *given, const Oid *functions, int n)
{
	ereport(ERROR,
			(errcode(ERRCODE_AMBIGUOUS_FUNCTION),
			 errmsg("function name \"%s\" is not unique", given),
			 errhint("Give the types of its parameters, too: one of %s.",
					 list_signatures(functions, n))));
}

static void
explain_name(void *arg)
{
	errhint("Give the name of a function, as in 'fn' or 'schema.fn(bigint,text)'.");
}

/* Split a name without types into its parts */
static List *
read_name(const char *given)
{
	ErrorContextCallback callback = {error_context_stack, explain_name, NULL};
	List	   *name;

	error_context_stack = &callback;
	name = compat_qualified_name(given);
	error_context_stack = callback.previous;
	return name;
}

static void
explain_signature(void *arg)
{
	errhint("Write it as in 'schema.fn(bigint,text)', with the types of all input parameters.");
}

/* Find a function by a signature as users write it, 'schema.fn(bigint,text)' */
static Oid
find_by_given_signature(const char *given)
{
	ErrorContextCallback callback = {error_context_stack, explain_signature, NULL};
	Oid			function;

	error_context_stack = &callback;
	function = DatumGetObjectId(DirectFunctionCall1(regprocedurein, CStringGetDatum(given)));
	error_context_stack = callback.previous;
	return function;
}

static bool
in_pg_catalog(Oid function)
{
	return get_func_namespace(function) == PG_CATALOG_NAMESPACE;
}

/*
 * Count the functions that are not in pg_catalog: these come first.  A function of
 * pg_catalog is meant only if its schema is given, or nothing else fits:
 * charge(int) does not compete with pg_catalog.charge("char").
 */
static int
count_preferred(const Oid *functions, int n)
{
	int			preferred = 0;

	while (preferred < n && !in_pg_catalog(functions[preferred]))
		preferred++;
	return preferred;
}

/*
 * All functions that a name without types may mean, at least one, those of
 * pg_catalog last.  Functions that cannot be jobs do not count beside others
 * that can.
 */
static int
find_by_name(const char *given, Oid **functions)
{
	List	   *name = read_name(given);
	FuncCandidateList candidates = compat_function_candidates(name);
	int			n = 0;
	int			nfit = 0;

	if (candidates == NULL)
		no_such_function(given, name);
	for (FuncCandidateList c = candidates; c != NULL; c = c->next)
		n++;
	*functions = palloc(n * sizeof(Oid));
	for (int catalog = 0; catalog <= 1; catalog++)
	{
		for (FuncCandidateList c = candidates; c != NULL; c = c->next)
		{
			if (in_pg_catalog(c->oid) == (catalog == 1) && function_is_fit(c->oid))
				(*functions)[nfit++] = c->oid;
		}
	}
	if (nfit > 0)
		return nfit;
	(*functions)[0] = candidates->oid;	/* the caller reports the error */
	return 1;
}

/* The function that the server would call with arguments of these types */
static Oid
find_by_types(const char *given, int ntypes, const Oid *types)
{
	List	   *name = read_name(given);
	Oid			function = InvalidOid;
	FuncDetailCode code;

	if (compat_function_candidates(name) == NULL)
		no_such_function(given, name);
	code = function_detail_by_types(name, ntypes, types, &function);
	if (code == FUNCDETAIL_NOTFOUND || code == FUNCDETAIL_COERCION || !OidIsValid(function))
		ereport(ERROR,
				(errcode(code == FUNCDETAIL_MULTIPLE ? ERRCODE_AMBIGUOUS_FUNCTION :
						 ERRCODE_UNDEFINED_FUNCTION),
				 errmsg(code == FUNCDETAIL_MULTIPLE ? "function %s is not unique" :
						"function %s does not exist",
						func_signature_string(name, ntypes, NIL, types)),
				 errhint("You might need to add explicit type casts, or to give the function as in 'schema.fn(bigint,text)'.")));
	return function;
}

/* The last one of n that the arguments fit, and how many they fit */
static int
find_fitting(const Oid *functions, int n, Jsonb *args, Oid *found)
{
	int			nfound = 0;

	for (int i = 0; i < n; i++)
	{
		FunctionEntry *entry = function_entry(functions[i]);

		if (entry != NULL && function_args_fit(entry, args))
		{
			*found = functions[i];
			nfound++;
		}
	}
	return nfound;
}

/* The one that the arguments fit; error if it is not one */
static Oid
choose_by_arguments(const char *given, const Oid *functions, int n, Jsonb *args)
{
	int			preferred = count_preferred(functions, n);
	Oid			found = InvalidOid;
	int			nfound = find_fitting(functions, preferred, args, &found);

	if (nfound == 0)
		nfound = find_fitting(functions + preferred, n - preferred, args, &found);
	if (nfound == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("no function \"%s\" takes these arguments", given),
				 errhint("There is %s.", list_signatures(functions, n))));
	if (nfound > 1)
		not_unique(given, functions, n);
	return found;
}

static void
ask(Question *question, const char *name, int ntypes, const Oid *types)
{
	question->name = name;
	question->ntypes = ntypes;
	question->types = types;
	question->user = GetUserId();
	question->npath = fetch_search_path_array(question->path, PATH_MAX_LENGTH + 1);
}

/* ------------------------------------------------------------------------
 * By what users give
 * ------------------------------------------------------------------------ */

/* Check whether there are functions of a name without types; it need not be one */
static bool
are_functions(const char *given)
{
	List	   *name;

	return SplitIdentifierString(pstrdup(given), '.', &name) && name != NIL &&
		compat_function_candidates(read_name(given)) != NULL;
}

/*
 * All functions that the name may mean, known or looked up; each can be a job.
 * Returns 0 if there is none of that name, where "missing_ok".
 */
static int
find_functions(const char *given, int ntypes, const Oid *types, bool missing_ok,
			   const Oid **functions)
{
	Question	question;
	const Answer *answer;
	uint64		asked_at;
	Oid		   *found;
	int			n = 1;

	if (function_types_in(given) != NULL)
		ntypes = ANY_TYPES;		/* it says which itself */
	ask(&question, given, ntypes, ntypes >= 0 ? types : NULL);
	answer = function_known_answer(&question);
	if (answer != NULL)
	{
		*functions = answer->functions;
		return answer->n;
	}

	if (missing_ok && function_types_in(given) == NULL && !are_functions(given))
		return 0;
	asked_at = function_changes;
	found = palloc(sizeof(Oid));
	if (function_types_in(given) != NULL)
		*found = find_by_given_signature(given);
	else if (ntypes >= 0)
		*found = find_by_types(given, ntypes, types);
	else
		n = find_by_name(given, &found);
	if (n == 1)
		function_check_fit(found[0]);
	function_remember(&question, asked_at, found, n);
	*functions = found;
	return n;
}

/*
 * Returns the entry of a function.  Error if it is gone by now, the user may not
 * execute it, or its signature does not fit into our indexes, beside a job's key.
 */
static FunctionEntry *
check_entry(Oid function, const char *given)
{
	FunctionEntry *entry = function_entry(function);

	if (entry == NULL)
	{
		no_such_function(given, NIL);
		pg_unreachable();
	}
	check_may_execute(entry);
	if (strlen(entry->signature) > SIGNATURE_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("signature of function %s is too long for a job", get_func_name(function)),
				 errdetail("It has %zu bytes, of at most %d.", strlen(entry->signature), SIGNATURE_MAX),
				 errhint("Use a function with fewer parameters, or types with shorter names, that calls it.")));
	return entry;
}

FunctionEntry *
function_resolve(const char *name, Jsonb **args, bool missing_ok)
{
	const Oid  *functions;
	int			n = find_functions(name, ANY_TYPES, NULL, missing_ok, &functions);
	FunctionEntry *entry;

	if (n == 0)
		return NULL;
	entry = check_entry(n == 1 ? functions[0] :
						choose_by_arguments(name, functions, n, *args), name);
	*args = function_check_args(entry, *args, false);
	return entry;
}

FunctionEntry *
function_resolve_name(const char *name, bool missing_ok)
{
	const Oid  *functions;
	int			n = find_functions(name, ANY_TYPES, NULL, missing_ok, &functions);

	if (n == 0)
		return NULL;
	if (n > 1 && count_preferred(functions, n) != 1)
		not_unique(name, functions, n);
	return check_entry(functions[0], name);
}

FunctionEntry *
function_successor(const char *signature, Jsonb *args)
{
	char	   *name = pnstrdup(signature, function_types_in(signature) - signature);
	FunctionEntry *successor = NULL;
	const Oid  *functions;
	int			n = find_functions(name, ANY_TYPES, NULL, true, &functions);

	for (int i = 0; i < n; i++)
	{
		FunctionEntry *entry = function_entry(functions[i]);

		if (entry == NULL || entry->kind != JOB_PROCEDURE || !function_args_fit(entry, args))
			continue;
		if (successor != NULL)
			return NULL;
		successor = entry;
	}
	return successor;
}

FunctionEntry *
function_resolve_types(const char *name, int ntypes, const Oid *types)
{
	const Oid  *functions;

	(void) find_functions(name, ntypes, types, false, &functions);
	return check_entry(functions[0], name);
}

bool
function_owner_accepted(Oid owner, Oid owner_then, Oid job_owner)
{
	return !OidIsValid(owner_then) || owner == owner_then || owner == job_owner ||
		superuser_arg(owner);
}
