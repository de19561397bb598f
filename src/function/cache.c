/*
 * cache.c
 *		Cache of functions and procedures that jobs run, kept until the
 *		catalogs change: the functions by OID and by their stored signature, and what
 *		names have meant.
 *
 * Entries that have been invalidated may still be in use (a job's function
 * enqueues another job); they are freed when the transaction has ended.
 *
 * What a name means depends on who asks, with which search_path, and for a call
 * with typed arguments on their types.  Answers are remembered with all of
 * that, and of an overloaded name all the functions that it may mean: a million
 * enqueues do not look into the catalogs a million times.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/callbacks.h"
#include "base/catalog.h"
#include "base/compat.h"
#include "base/job_kind.h"
#include "function/function.h"

/* Answers that are remembered, and the longest name with which they are */
#define ANSWERS_MAX		20000
#define NAME_MAX_LENGTH 1000

static HTAB *entries = NULL;	/* by OID: EntryRef */
static MemoryContext cache_context = NULL;
static HTAB *answers = NULL;
static MemoryContext answers_context = NULL;	/* in cache_context */
static List *retired = NIL;		/* contexts of caches that were thrown away */
static bool stale = true;
uint64		function_changes = 0;	/* grows whenever "stale" is set */

/*
 * A set of hash values of types that entries have: every temporary table makes
 * and drops types, and must not cost us the cache.
 */
#define TYPE_BITS		1024
static uint64 types_used[TYPE_BITS / 64];

typedef struct EntryRef
{
	Oid			oid;			/* key */
	FunctionEntry *entry;
} EntryRef;

/* ------------------------------------------------------------------------
 * The cache
 * ------------------------------------------------------------------------ */

static void
catalog_changed(int cache, uint32 hash)
{
	uint32		bit = hash % TYPE_BITS;

	if (cache == TYPEOID && hash != 0 && (types_used[bit / 64] & (UINT64CONST(1) << bit % 64)) == 0)
		return;
	stale = true;
	function_changes++;
}

/* Its changes, and those of the types that it is made of, are ours */
static void
use_type(Oid type)
{
	while (OidIsValid(type))
	{
		uint32		bit = GetSysCacheHashValue1(TYPEOID, ObjectIdGetDatum(type)) % TYPE_BITS;
		Oid			base;

		types_used[bit / 64] |= UINT64CONST(1) << bit % 64;
		base = getBaseType(type);
		type = base != type ? base : get_element_type(type);
	}
}

static void
free_retired(XactEvent event)
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
	defer_on_syscache_change(PROCOID, catalog_changed);
	defer_on_syscache_change(TYPEOID, catalog_changed);
	defer_on_syscache_change(NAMESPACEOID, catalog_changed);
	/* they have handlers */
	defer_on_syscache_change(LANGOID, catalog_changed);
	/* rights on schemas come by membership, too */
	defer_on_syscache_change(AUTHOID, catalog_changed);
	defer_on_syscache_change(AUTHMEMROLEMEM, catalog_changed);
	defer_on_xact_event(free_retired);
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
	answers = NULL;
	answers_context = NULL;
	cache_context = NULL;
	cache_context = AllocSetContextCreate(CacheMemoryContext, "defer functions",
										  ALLOCSET_SMALL_SIZES);
	memset(types_used, 0, sizeof(types_used));
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

/*
 * Return the signature, which is stored and compared with stored ones.  So it
 * must not depend on the session.
 */
char *
function_signature(Form_pg_proc form)
{
	const bool	quote_all = quote_all_identifiers;
	char	   *schema = get_namespace_name(form->pronamespace);
	StringInfoData signature;

	initStringInfo(&signature);
	PG_TRY();
	{
		quote_all_identifiers = false;
		appendStringInfo(&signature, "%s(",
						 quote_qualified_identifier(schema != NULL ? schema : "?",
													NameStr(form->proname)));
		for (int i = 0; i < form->pronargs; i++)
			appendStringInfo(&signature, "%s%s", i > 0 ? "," : "",
							 type_name(form->proargtypes.values[i]));
	}
	PG_FINALLY();
	{
		quote_all_identifiers = quote_all;
	}
	PG_END_TRY();
	appendStringInfoChar(&signature, ')');
	return signature.data;
}

Oid
function_owner(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
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

	/*
	 * first: changes of the types that are read from here on are announced to
	 * us
	 */
	for (int i = 0; i < form->pronargs; i++)
		use_type(form->proargtypes.values[i]);

	entry->oid = form->oid;
	entry->schema = form->pronamespace;
	entry->owner = form->proowner;
	entry->entry_context = context;
	entry->signature = function_signature(form);
	entry->kind = form->prokind == PROKIND_PROCEDURE ? JOB_PROCEDURE : JOB_FUNCTION;
	entry->returns_set = form->proretset;
	entry->strict = form->proisstrict;
	entry->misplaced_steps = function_misplaced_steps(tuple);
	entry->result_type = form->prorettype;
	entry->nargs = form->pronargs;
	entry->ndefaults = form->pronargdefaults;
	entry->arg_types = palloc(Max(entry->nargs, 1) * sizeof(Oid));
	memcpy(entry->arg_types, form->proargtypes.values, entry->nargs * sizeof(Oid));
	entry->arg_collations = palloc(Max(entry->nargs, 1) * sizeof(Oid));
	for (int i = 0; i < entry->nargs; i++)
		entry->arg_collations[i] = get_typcollation(entry->arg_types[i]);
	entry->arg_names = input_names(tuple, entry->nargs);
	MemoryContextSwitchTo(old);
	return entry;
}

/* Where a hook is called with each call, its library may change its mind without telling us */
void
function_fmgr_info(FunctionEntry *entry, FmgrInfo *info)
{
	if (FmgrHookIsNeeded(entry->oid))
	{
		fmgr_info(entry->oid, info);
		return;
	}
	if (!entry->callable)
		fmgr_info_cxt(entry->oid, &entry->info, entry->entry_context);
	entry->callable = true;
	fmgr_info_copy(info, &entry->info, CurrentMemoryContext);
}

FunctionEntry *
function_entry(Oid function)
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
 * What names have meant
 * ------------------------------------------------------------------------ */

static Size
types_size(const Question *question)
{
	return Max(question->ntypes, 0) * sizeof(Oid);
}

static uint64
hash_question(const Question *q)
{
	uint64		hash;

	hash = hash_bytes_extended((const unsigned char *) q->name, strlen(q->name),
							   (uint64) q->user << 32 | (uint32) q->ntypes);
	hash = hash_bytes_extended((const unsigned char *) q->path, q->npath * sizeof(Oid), hash);
	return hash_bytes_extended((const unsigned char *) q->types, types_size(q), hash);
}

static bool
same_question(const Question *a, const Question *b)
{
	return a->user == b->user && a->npath == b->npath && a->ntypes == b->ntypes &&
		memcmp(a->path, b->path, a->npath * sizeof(Oid)) == 0 &&
		(a->ntypes <= 0 || memcmp(a->types, b->types, types_size(a)) == 0) &&
		strcmp(a->name, b->name) == 0;
}

/* NULL: not known, or not any more */
const Answer *
function_known_answer(const Question *question)
{
	Answer	   *answer;
	uint64		hash;

	prepare_cache();
	if (answers == NULL || question->npath > PATH_MAX_LENGTH)
		return NULL;
	hash = hash_question(question);
	answer = hash_search(answers, &hash, HASH_FIND, NULL);
	return answer != NULL && same_question(question, &answer->question) ? answer : NULL;
}

/*
 * Make room for answers.  If a session asks for a great many names, begin anew
 */
static void
prepare_answers(void)
{
	HASHCTL		control = {0};

	if (answers != NULL && hash_get_num_entries(answers) < ANSWERS_MAX)
		return;
	answers = NULL;
	if (answers_context != NULL)
		MemoryContextReset(answers_context);
	else
		answers_context = AllocSetContextCreate(cache_context, "defer function names",
												ALLOCSET_SMALL_SIZES);
	control.keysize = sizeof(uint64);
	control.entrysize = sizeof(Answer);
	control.hcxt = answers_context;
	answers = hash_create("defer function names", 32, &control,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * Remember an answer, if the catalogs are still as they were when function_changes
 * was "asked_at": it was found in them as they were then.
 */
void
function_remember(const Question *question, uint64 asked_at, const Oid *functions, int n)
{
	MemoryContext old;
	Answer		answer;
	Answer	   *kept;
	bool		found;

	if (stale || function_changes != asked_at || question->npath > PATH_MAX_LENGTH ||
		strlen(question->name) > NAME_MAX_LENGTH)
		return;
	prepare_answers();
	old = MemoryContextSwitchTo(answers_context);
	answer.hash = hash_question(question);
	answer.question = *question;
	answer.question.name = pstrdup(question->name);
	answer.question.types = question->ntypes <= 0 ? NULL :
		memcpy(palloc(types_size(question)), question->types, types_size(question));
	answer.n = n;
	answer.functions = memcpy(palloc(n * sizeof(Oid)), functions, n * sizeof(Oid));
	kept = hash_search(answers, &answer.hash, HASH_ENTER, &found);
	*kept = answer;
	MemoryContextSwitchTo(old);
}

/* ------------------------------------------------------------------------
 * By stored signature
 * ------------------------------------------------------------------------ */

/* The qualified name in front of the types; NIL: that is no signature of ours */
static List *
name_of_signature(const char *signature)
{
	const char *types = function_types_in(signature);

	return types == NULL ? NIL :
		compat_qualified_name(pnstrdup(signature, types - signature));
}

/*
 * InvalidOid: there is no such function any more.  Not by a list of the system
 * cache: up to PostgreSQL 16 it looks through all the lists that it has for the
 * one, and a worker may need ten thousand functions.
 */
static Oid
find_by_stored_signature(const char *signature)
{
	List	   *name = name_of_signature(signature);
	Oid			schema;
	NameData	function_name;
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			found = InvalidOid;

	if (list_length(name) != 2)
		return InvalidOid;
	schema = get_namespace_oid(strVal(linitial(name)), true);
	if (!OidIsValid(schema))
		return InvalidOid;
	namestrcpy(&function_name, strVal(lsecond(name)));
	ScanKeyInit(&key, Anum_pg_proc_proname, BTEqualStrategyNumber, F_NAMEEQ,
				NameGetDatum(&function_name));
	rel = table_open(ProcedureRelationId, AccessShareLock);
	scan = systable_beginscan(rel, ProcedureNameArgsNspIndexId, true, NULL, 1, &key);
	while (!OidIsValid(found) && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);

		if (form->pronamespace == schema && strcmp(function_signature(form), signature) == 0 &&
			function_unfit(form) == NULL)
			found = form->oid;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

static FunctionEntry *
look_up_signature(const char *signature)
{
	const Question question = {.name = signature, .ntypes = STORED_SIGNATURE};
	const Answer *answer = function_known_answer(&question);
	uint64		asked_at = function_changes;
	Oid			function;

	if (answer != NULL)
		return function_entry(answer->functions[0]);
	function = find_by_stored_signature(signature);
	if (!OidIsValid(function))
		return NULL;
	function_remember(&question, asked_at, &function, 1);
	return function_entry(function);
}

/* Jobs of one function come one after another: the last one is remembered */
FunctionEntry *
function_by_signature(const char *signature)
{
	static char last[256];
	static FunctionEntry *entry = NULL;
	static uint64 asked_at;

	if (entry != NULL && asked_at == function_changes && strcmp(last, signature) == 0)
		return entry;
	entry = NULL;				/* an error may be raised */
	asked_at = function_changes;
	if (strlcpy(last, signature, sizeof(last)) >= sizeof(last))
		last[0] = '\0';			/* too long: no signature is empty */
	entry = look_up_signature(signature);
	return entry;
}
