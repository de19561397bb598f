/*
 * function.h
 *		What the files about functions and their arguments (function/cache.c,
 *		function/lookup.c, function/args.c, function/typed_args.c), and job/enqueue.c, need of
 *		each other: what all others need of them is in base/defer.h.
 */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

#include "base/defer.h"

#include "catalog/pg_proc.h"

/* function/cache.c: functions by OID; NULL: there is no such function */
extern FunctionEntry *function_entry(Oid function);
extern char *function_signature(Form_pg_proc form);

/* Longest search_path with which names are remembered */
#define PATH_MAX_LENGTH	16

/* Instead of a number of types */
#define ANY_TYPES		(-1)	/* the name alone */
#define STORED_SIGNATURE (-2)	/* a job's signature: who asks does not matter */

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
extern void function_remember(const Question *question, uint64 asked_at, const Oid *functions, int n);
extern uint64 function_changes;

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

#endif							/* FUNCTIONS_H */
