/*
 * function.h
 *		Functions and procedures that jobs run: looking them up, and their arguments.
 */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "parser/parse_func.h"
#include "utils/jsonb.h"

/* A function as jobs see it; lives in the function cache until invalidated */
typedef struct FunctionEntry
{
	Oid			oid;
	Oid			owner;
	char	   *signature;		/* pg_catalog-style "schema.name(type,type)",
								 * quoted */
	char		kind;			/* JOB_FUNCTION or JOB_PROCEDURE */
	bool		returns_set;
	bool		strict;
	const char *misplaced_steps;	/* why steps that it has cannot be
									 * committed; NULL: nothing is known of
									 * that, or it was said */
	Oid			result_type;
	int			nargs;			/* input arguments */
	int			ndefaults;		/* how many of the last have defaults */
	Oid			schema;
	Oid		   *arg_types;
	Oid		   *arg_collations;
	char	  **arg_names;		/* "" where unnamed */
	bool		callable;		/* "info" is set */
	FmgrInfo	info;
	void	   *conversions;	/* function/args.c's, in entry_context */
	MemoryContext entry_context;
} FunctionEntry;

/*
 * Find the function that a user means by name ('fn' or 'schema.fn(type,...)')
 * with the current search_path, and check the current user's EXECUTE right,
 * and that the arguments (array, object or NULL) fit and convert: they are
 * replaced by the arguments to be stored, see function_check_args().  Errors
 * say what, where and what to do.  The entry is good until the next
 * AcceptInvalidationMessages(); copy what you keep.  "missing_ok": NULL if there
 * is no function of that name, which may be a task (config/job_target.h).
 */
extern FunctionEntry *function_resolve(const char *name, Jsonb **args, bool missing_ok);

/* Find without looking at arguments: error when it is ambiguous */
extern FunctionEntry *function_resolve_name(const char *name, bool missing_ok);

/* By stored signature, at run time; NULL when it is gone */
extern FunctionEntry *function_by_signature(const char *signature);

/*
 * Of a procedure whose stored signature is gone: the only one of its name, in its
 * schema, that takes the arguments; NULL: there is none, or several
 */
extern FunctionEntry *function_successor(const char *signature, Jsonb *args);

/*
 * Check whether a function, or task, of that owner is still one that the owner of a
 * job, or of a schedule, has asked for.  owner_then: its owner when it was named,
 * InvalidOid: not known.  A name that is free again can be taken by any role
 * that may create functions in the schema.
 */
extern bool function_owner_accepted(Oid owner, Oid owner_then, Oid job_owner);

/*
 * Convert the JSON arguments for a call; values and nulls have room for
 * entry->nargs.  Arguments that are not given get the value of their default,
 * which is evaluated here.  Takes a snapshot where code of users may run.
 */
extern void function_convert_args(FunctionEntry *entry, Jsonb *args, Datum *values, bool *nulls);

/*
 * Convert the arguments that are given; errors name function and parameter.
 * Returns the arguments as they are to be stored: text that is read by
 * settings of the session is replaced by text that is not.  "portable": they
 * are so already.
 */
extern Jsonb *function_check_args(FunctionEntry *entry, Jsonb *args, bool portable);

/* One value as JSON, as to_jsonb() makes it */
extern Jsonb *conversion_to_jsonb(Datum value, Oid type);

/* Check whether that number of arguments, or those names, fit the function */
extern bool function_args_fit(const FunctionEntry *entry, Jsonb *args);

/*
 * function/fit.c: warn, once in a session, of a procedure whose text has steps
 * that cannot be committed
 */
extern void function_warn_of_steps(FunctionEntry *entry);

/* function/cache.c: functions by OID; NULL: there is no such function */
extern FunctionEntry *function_entry(Oid function);
extern char *function_signature(Form_pg_proc form);

/* The same as fmgr_info(), in the current memory context */
extern void function_fmgr_info(FunctionEntry *entry, FmgrInfo *info);
extern Oid	function_owner(Oid function);	/* InvalidOid: there is no such
											 * function */

/* Longest search_path with which names are remembered */
#define PATH_MAX_LENGTH	16

/* Instead of a number of types */
#define ANY_TYPES		(-1)	/* the name alone */
#define STORED_SIGNATURE (-2)	/* a job's signature: who asks does not
								 * matter, nor with which path */

/* All that the meaning of a name depends on, besides the catalogs */
typedef struct Question
{
	const char *name;
	Oid			user;
	int			npath;
	Oid			path[PATH_MAX_LENGTH + 1];
	int			ntypes;
	const Oid  *types;
} Question;

/* By the hash of the question; of two with one hash the last is kept */
typedef struct Answer
{
	uint64		hash;			/* key */
	Question	question;		/* name and types are the cache's */
	int			n;
	Oid		   *functions;		/* that it may mean; at least one */
} Answer;

/* What the question was answered last; NULL: not known, or not any more */
extern const Answer *function_known_answer(const Question *question);

/*
 * Remember an answer that was found in the catalogs since function_changes was
 * "asked_at", if nothing has changed since.
 */
extern void function_remember(const Question *question, uint64 asked_at,
							  const Oid *functions, int n);
extern uint64 function_changes;

/* function/lookup.c: where the types begin in a signature; NULL: it is a name without types */
extern const char *function_types_in(const char *given);

/* function/lookup.c: the function that a call with arguments of these types means */
extern FunctionEntry *function_resolve_types(const char *name, int ntypes, const Oid *types);

/* function/args.c: the function takes fewer arguments than are given */
extern void function_too_many_args(const FunctionEntry *entry, int given);

/*
 * In a PG_CATCH: the error that converting argument i raised (from 0 on), told
 * as what it is, a wrong argument, in that memory context.  Does not return.
 */
extern void function_rethrow_args(const FunctionEntry *entry, int i, MemoryContext context);

/*
 * function/typed_args.c: the arguments of a call by types as a JSON array.  Each is first
 * made a value of its parameter's type, as the call would, and then written so
 * that it comes back the same whatever the settings of the session are that
 * reads it.
 */
extern Jsonb *function_args_from_values(FunctionEntry *entry, int nargs, const Datum *values,
										const bool *nulls, const Oid *types);

/*
 * The function of that name that a call with arguments of these types means; if there is
 * none, one that takes smaller numbers
 */
extern FuncDetailCode function_detail_by_types(List *name, int ntypes, const Oid *types,
											   Oid *function);

/* fit.c: why a function cannot be run as a job; NULL: it can */
extern const char *function_unfit(Form_pg_proc form);
extern const char *function_misplaced_steps(HeapTuple tuple);
extern bool function_is_fit(Oid function);
extern void function_check_fit(Oid function);	/* an error that says why not */

/*
 * portable_args.c: check that no setting affects how text of the type is read
 */
extern bool function_type_is_portable(Oid type);

/* Check for money in the type, which is stored as with lc_monetary = C */
extern bool function_type_is_money(Oid type);
extern int	function_money_begin(void);
extern void function_money_end(int level);

/* A value as JSON that means the same in any session */
extern void function_portable_value(Datum value, Oid type, JsonbValue *result);

/* The arguments, an array or object, with some values replaced; NULL: as it is */
extern Jsonb *function_replace_args(const FunctionEntry *entry, Jsonb *args, JsonbValue **values);

#endif							/* FUNCTIONS_H */
