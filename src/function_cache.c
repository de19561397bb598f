/*
 * function_cache.c
 *		Functions and procedures that jobs run: found by the name that a user gives,
 *		or by the signature that a job carries, and kept until the catalogs change.
 *
 * A signature is the schema-qualified name and the types of the input
 * parameters, those of pg_catalog without their schema: the same text whatever
 * search_path is in force.  It is compared as text with those of the functions
 * of that name, never parsed.
 *
 * Entries that have been invalidated may still be in use (a job's function
 * enqueues another job); they are freed when the transaction has ended.
 */
#include "defer.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

/* Names that are remembered, and the longest search_path with which they are */
#define NAMES		16
#define PATH_MAX_LENGTH	16

/* A name that means one function only, whatever the arguments are */
typedef struct KnownName
{
	char	   *name;			/* NULL: unused */
	Oid			user;
	int			npath;
	Oid			path[PATH_MAX_LENGTH];
	Oid			function;
} KnownName;

static HTAB *entries = NULL;	/* by OID: EntryRef */
static MemoryContext cache_context = NULL;
static List *retired = NIL;		/* contexts of caches that were thrown away */
static bool stale = true;
static KnownName *names = NULL; /* in cache_context */
static int	next_name = 0;
static char *last_signature = NULL; /* in cache_context */
static FunctionEntry *last_entry = NULL;

typedef struct EntryRef
{
	Oid			oid;			/* key */
	FunctionEntry *entry;
} EntryRef;

/* ------------------------------------------------------------------------
 * The cache
 * ------------------------------------------------------------------------ */

static void
catalog_changed(Datum arg, int cache, uint32 hash)
{
	stale = true;
}

static void
free_retired(XactEvent event, void *arg)
{
	ListCell   *cell;

	if (retired == NIL ||
		(event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE))
		return;
	foreach(cell, retired)
		MemoryContextDelete(lfirst(cell));
	list_free(retired);
	retired = NIL;
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	CacheRegisterSyscacheCallback(PROCOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, catalog_changed, (Datum) 0);
	RegisterXactCallback(free_retired, NULL);
	registered = true;
}

static void
prepare_cache(void)
{
	HASHCTL		control = {0};
	MemoryContext context;

	if (entries != NULL && !stale)
		return;
	register_callbacks();
	if (cache_context != NULL)
	{
		context = MemoryContextSwitchTo(TopMemoryContext);
		retired = lappend(retired, cache_context);
		MemoryContextSwitchTo(context);
	}
	entries = NULL;
	last_signature = NULL;
	last_entry = NULL;
	next_name = 0;
	cache_context = AllocSetContextCreate(CacheMemoryContext, "defer functions",
										  ALLOCSET_SMALL_SIZES);
	names = MemoryContextAllocZero(cache_context, NAMES * sizeof(KnownName));
	stale = false;
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(EntryRef);
	control.hcxt = cache_context;
	entries = hash_create("defer functions", 32, &control,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* ------------------------------------------------------------------------
 * Making an entry
 * ------------------------------------------------------------------------ */

static char *
type_name(Oid type)
{
	char	   *name = format_type_be_qualified(type);

	return strncmp(name, "pg_catalog.", 11) == 0 ? name + 11 : name;
}

static char *
signature_of(Form_pg_proc form)
{
	char	   *schema = get_namespace_name(form->pronamespace);
	StringInfoData signature;

	initStringInfo(&signature);
	appendStringInfo(&signature, "%s(",
					 quote_qualified_identifier(schema != NULL ? schema : "?",
												NameStr(form->proname)));
	for (int i = 0; i < form->pronargs; i++)
		appendStringInfo(&signature, "%s%s", i > 0 ? "," : "",
						 type_name(form->proargtypes.values[i]));
	appendStringInfoChar(&signature, ')');
	return signature.data;
}

/* Names of the input parameters, "" where there is none */
static char **
input_names(HeapTuple tuple, int nargs)
{
	char	  **result = palloc(Max(nargs, 1) * sizeof(char *));
	Oid		   *types;
	char	  **all;
	char	   *modes;
	int			n = get_func_arg_info(tuple, &types, &all, &modes);
	int			found = 0;

	for (int i = 0; i < n && found < nargs; i++)
	{
		if (modes != NULL && (modes[i] == PROARGMODE_OUT || modes[i] == PROARGMODE_TABLE))
			continue;
		result[found++] = all != NULL && all[i] != NULL ? all[i] : pstrdup("");
	}
	while (found < nargs)
		result[found++] = pstrdup("");
	return result;
}

static FunctionEntry *
make_entry(HeapTuple tuple)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);
	MemoryContext context = AllocSetContextCreate(cache_context, "defer function",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	FunctionEntry *entry = palloc0(sizeof(FunctionEntry));

	entry->oid = form->oid;
	entry->entry_context = context;
	entry->signature = signature_of(form);
	entry->kind = form->prokind == PROKIND_PROCEDURE ? JOB_PROCEDURE : JOB_FUNCTION;
	entry->returns_set = form->proretset;
	entry->strict = form->proisstrict;
	entry->result_type = form->prorettype;
	entry->nargs = form->pronargs;
	entry->ndefaults = form->pronargdefaults;
	entry->arg_types = palloc(Max(entry->nargs, 1) * sizeof(Oid));
	memcpy(entry->arg_types, form->proargtypes.values, entry->nargs * sizeof(Oid));
	entry->arg_names = input_names(tuple, entry->nargs);
	MemoryContextSwitchTo(old);
	return entry;
}

/* NULL: there is no such function */
static FunctionEntry *
entry_of(Oid function)
{
	EntryRef   *ref;
	HeapTuple	tuple;
	FunctionEntry *entry;

	prepare_cache();
	ref = hash_search(entries, &function, HASH_FIND, NULL);
	if (ref != NULL)
		return ref->entry;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return NULL;
	entry = make_entry(tuple);
	ReleaseSysCache(tuple);
	ref = hash_search(entries, &function, HASH_ENTER, NULL);
	ref->entry = entry;
	return entry;
}

/* ------------------------------------------------------------------------
 * What can be a job
 * ------------------------------------------------------------------------ */

/* Why a function cannot be run as a job; NULL: it can */
static const char *
unfit_function(Form_pg_proc form)
{
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

static void
check_fit(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	const char *reason;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	reason = unfit_function((Form_pg_proc) GETSTRUCT(tuple));
	if (reason != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("function %s cannot be run as a job",
						signature_of((Form_pg_proc) GETSTRUCT(tuple))),
				 errdetail("%s", reason),
				 errhint("Wrap it in a function of your own.")));
	ReleaseSysCache(tuple);
}

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

/* Where the types begin in what may be a signature; NULL: it is a mere name */
static const char *
types_in(const char *given)
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

bool
function_name_has_types(const char *given)
{
	return types_in(given) != NULL;
}

static int
compare_strings(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/* Signatures of a list of candidates, for a hint; in an order that stays */
static char *
list_signatures(FuncCandidateList candidates)
{
	List	   *signatures = NIL;
	ListCell   *cell;
	StringInfoData list;

	for (; candidates != NULL; candidates = candidates->next)
	{
		FunctionEntry *entry = entry_of(candidates->oid);

		if (entry != NULL)
			signatures = lappend(signatures, entry->signature);
	}
	list_sort(signatures, compare_strings);
	initStringInfo(&list);
	foreach(cell, signatures)
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", (char *) lfirst(cell));
	return list.data;
}

/* Functions of that name that the search_path does not reach; "" if there are none */
static char *
elsewhere(const char *name)
{
	CatCList   *list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
	StringInfoData found;

	initStringInfo(&found);
	for (int i = 0; i < list->n_members && i < 5; i++)
	{
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(&list->members[i]->tuple);

		appendStringInfo(&found, "%s%s", found.len > 0 ? ", " : "", signature_of(form));
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
explain_name(void *arg)
{
	errhint("Give the name of a function, as in 'fn' or 'schema.fn(bigint,text)'.");
}

static void
explain_signature(void *arg)
{
	errhint("Write it as in 'schema.fn(bigint,text)', with the types of all input parameters.");
}

/* 'schema.fn(bigint,text)': the types decide.  The server reads it */
static Oid
find_by_given_signature(const char *given)
{
	ErrorContextCallback callback = {error_context_stack, explain_signature, NULL};
	Oid			function;

	error_context_stack = &callback;
	function = DatumGetObjectId(DirectFunctionCall1(regprocedurein, CStringGetDatum(given)));
	error_context_stack = callback.previous;
	if (!SearchSysCacheExists1(PROCOID, ObjectIdGetDatum(function)))
		no_such_function(given, NIL);	/* "-", or a number */
	return function;
}

/* All functions that a name without types may mean; at least one */
static FuncCandidateList
find_candidates(const char *given)
{
	ErrorContextCallback callback = {error_context_stack, explain_name, NULL};
	FuncCandidateList candidates;
	List	   *name;

	error_context_stack = &callback;
	name = compat_qualified_name(given);
	error_context_stack = callback.previous;
	candidates = FuncnameGetCandidates(name, -1, NIL, false, false, false, true);
	if (candidates == NULL)
		no_such_function(given, name);
	return candidates;
}

/* The candidate that the arguments fit; error if it is not one */
static Oid
choose_by_arguments(const char *given, FuncCandidateList candidates, Jsonb *args)
{
	Oid			found = InvalidOid;
	int			n = 0;

	for (FuncCandidateList c = candidates; c != NULL; c = c->next)
	{
		FunctionEntry *entry = entry_of(c->oid);

		if (entry != NULL && function_args_fit(entry, args))
		{
			found = c->oid;
			n++;
		}
	}
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("no function \"%s\" takes these arguments", given),
				 errhint("There is %s.", list_signatures(candidates))));
	if (n > 1)
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_FUNCTION),
				 errmsg("function name \"%s\" is not unique", given),
				 errhint("Give the types of its parameters, too: one of %s.",
						 list_signatures(candidates))));
	return found;
}

/* Has this name meant one function only, in this role with this search_path? */
static KnownName *
known_name(const char *given, const Oid *path, int npath)
{
	prepare_cache();
	for (int i = 0; i < NAMES; i++)
	{
		KnownName  *known = &names[i];

		if (known->name != NULL && known->user == GetUserId() && known->npath == npath &&
			memcmp(known->path, path, npath * sizeof(Oid)) == 0 &&
			strcmp(known->name, given) == 0)
			return known;
	}
	return NULL;
}

static void
remember_name(const char *given, const Oid *path, int npath, Oid function)
{
	KnownName  *known = &names[next_name];

	if (npath > PATH_MAX_LENGTH || strlen(given) > 1000)
		return;
	next_name = (next_name + 1) % NAMES;
	known->name = MemoryContextStrdup(cache_context, given);
	known->user = GetUserId();
	known->npath = npath;
	memcpy(known->path, path, npath * sizeof(Oid));
	known->function = function;
}

/*
 * Find by whatever the user gave.  "args" decides between several functions of
 * the name if use_args, which otherwise is an error.
 */
static FunctionEntry *
find_function(const char *given, Jsonb *args, bool use_args)
{
	Oid			path[PATH_MAX_LENGTH + 1];
	int			npath = fetch_search_path_array(path, PATH_MAX_LENGTH);
	KnownName  *known = npath <= PATH_MAX_LENGTH ? known_name(given, path, npath) : NULL;
	FuncCandidateList candidates;
	Oid			function;

	if (known != NULL)
		return entry_of(known->function);
	if (types_in(given) != NULL)
		function = find_by_given_signature(given);
	else
	{
		candidates = find_candidates(given);
		function = candidates->oid;
		if (candidates->next != NULL && use_args)
		{
			function = choose_by_arguments(given, candidates, args);
			check_fit(function);
			return entry_of(function);
		}
		if (candidates->next != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_AMBIGUOUS_FUNCTION),
					 errmsg("function name \"%s\" is not unique", given),
					 errhint("Give the types of its parameters, too: one of %s.",
							 list_signatures(candidates))));
	}
	check_fit(function);
	prepare_cache();
	remember_name(given, path, npath, function);
	return entry_of(function);
}

static FunctionEntry *
must_exist(FunctionEntry *entry, const char *given)
{
	if (entry == NULL)
		no_such_function(given, NIL);
	return entry;
}

FunctionEntry *
function_resolve(const char *name, Jsonb *args)
{
	FunctionEntry *entry = must_exist(find_function(name, args, true), name);

	check_may_execute(entry);
	function_check_args(entry, args);
	return entry;
}

FunctionEntry *
function_resolve_name(const char *name)
{
	FunctionEntry *entry = must_exist(find_function(name, NULL, false), name);

	check_may_execute(entry);
	return entry;
}

FunctionEntry *
function_by_oid(Oid function)
{
	FunctionEntry *entry;

	check_fit(function);
	entry = entry_of(function);
	check_may_execute(entry);
	return entry;
}

/* ------------------------------------------------------------------------
 * By signature
 * ------------------------------------------------------------------------ */

/* The qualified name in front of the types; NIL: that is no signature of ours */
static List *
name_of_signature(const char *signature)
{
	const char *types = types_in(signature);

	return types == NULL ? NIL :
		compat_qualified_name(pnstrdup(signature, types - signature));
}

FunctionEntry *
function_by_signature(const char *signature)
{
	List	   *name;
	Oid			schema;
	CatCList   *list;
	FunctionEntry *found = NULL;

	prepare_cache();
	if (last_signature != NULL && strcmp(last_signature, signature) == 0)
		return last_entry;

	name = name_of_signature(signature);
	if (list_length(name) != 2)
		return NULL;
	schema = get_namespace_oid(strVal(linitial(name)), true);
	if (!OidIsValid(schema))
		return NULL;
	list = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(strVal(lsecond(name))));
	for (int i = 0; i < list->n_members && found == NULL; i++)
	{
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(&list->members[i]->tuple);

		if (form->pronamespace == schema && strcmp(signature_of(form), signature) == 0 &&
			unfit_function(form) == NULL)
			found = entry_of(form->oid);
	}
	ReleaseSysCacheList(list);
	if (found != NULL && !stale)
	{
		last_signature = MemoryContextStrdup(cache_context, signature);
		last_entry = found;
	}
	return found;
}
