/*
 * inputs.h
 *		References to earlier results in a step's JSON, {"$input": "step.path"}:
 *		workflow/inputs.c.
 */
#ifndef WORKFLOW_INPUTS_H
#define WORKFLOW_INPUTS_H

#include "utils/jsonb.h"

/* What a reference stands for; NULL is JSON's null */
typedef Jsonb *(*InputLookup) (const char *reference, void *arg);

/*
 * The JSON with what the references in it stand for.  *any, unless it is NULL, is set if
 * there is one.  Error if one is malformed, or if what they stand for is larger together
 * than arguments of a job of that kind can be: so a large result is not copied for each of
 * many references to it.
 */
extern Jsonb *inputs_fill(Jsonb *json, InputLookup lookup, void *arg, char kind, bool *any);

/* Error if arguments with what references stand for are larger than defer.max_payload */
extern void inputs_check_size(const Jsonb *args);

/* The first part of a reference, the name of a step */
extern char *inputs_step(const char *reference);

/* The part of the result of that step which the rest names; NULL: there is none */
extern Jsonb *inputs_follow(Jsonb *result, const char *reference);

/* The reference of an object that is one; NULL: it is none.  Error if it is malformed */
extern char *inputs_reference(JsonbContainer *object, bool alone);

/* An object that is that reference */
extern Jsonb *inputs_make(const char *reference);

#endif							/* WORKFLOW_INPUTS_H */
