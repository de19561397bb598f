/*
 * json_schema.h
 *		The part of JSON Schema that the arguments of tasks are checked with.
 *
 * Keywords: type, properties, required, enum, items.  Others that only describe are
 * allowed, and all others are an error where the schema is set, so that nothing
 * is left out that its author counts on.
 */
#ifndef DEFER_JSON_SCHEMA_H
#define DEFER_JSON_SCHEMA_H

#include "utils/jsonb.h"

/* Raise an error if the schema is not one */
extern void json_schema_validate(Jsonb *schema);

/* Raise an error if the arguments of a task, NULL: none, do not fit the schema */
extern void json_schema_check(Jsonb *schema, Jsonb *args, const char *task);

#endif							/* DEFER_JSON_SCHEMA_H */
