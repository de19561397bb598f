/*
 * jsonb_util.h
 *		Reading and writing the members of a JSON object; jsonb in place of json.
 */
#ifndef DEFER_JSONB_UTIL_H
#define DEFER_JSONB_UTIL_H

#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "base/compat.h"

/* A member of the object; NULL, or "otherwise", if there is none of that type */
extern const char *jsonb_read_text(const Jsonb *object, const char *key);
extern int64 jsonb_read_number(const Jsonb *object, const char *key, int64 otherwise);
extern Jsonb *jsonb_read_json(const Jsonb *object, const char *key);	/* array or object */
extern Jsonb *jsonb_read_any(const Jsonb *object, const char *key); /* a scalar, too */
extern List *jsonb_read_list(const Jsonb *object, const char *key); /* of strings, as char * */

/* Check for a string that is this text */
extern bool jsonb_is_text(const JsonbValue *value, const char *text);

/* Call back with each member of the object that is a string */
typedef void (*JsonbMember) (const char *name, const char *value, void *context);
extern void jsonb_read_pairs(const Jsonb *object, JsonbMember call, void *context);

/* Add a member to the object that is being built.  Values are copied */
extern void jsonb_push_key(JsonbBuilder *state, const char *key);
extern void jsonb_push_bytes(JsonbBuilder *state, const char *key, const char *bytes, int length);
extern void jsonb_push_text(JsonbBuilder *state, const char *key, const char *text);
extern void jsonb_push_number(JsonbBuilder *state, const char *key, int64 number);
extern void jsonb_push_bool(JsonbBuilder *state, const char *key, bool truth);
extern void jsonb_push_json(JsonbBuilder *state, const char *key, Jsonb *json);

/* Add an element to the array that is being built: NULL is JSON's null */
extern void jsonb_push_element(JsonbBuilder *state, Jsonb *json);

/* An object with one string */
extern Jsonb *jsonb_object_of_text(const char *key, const char *text);

/*
 * Call a function with jsonb in place of the arguments that are json, whose numbers are
 * given: functions that take json are a way to those that take jsonb.
 */
extern Datum jsonb_call(FunctionCallInfo fcinfo, PGFunction function, const int *json, int njson);

#endif							/* DEFER_JSONB_UTIL_H */
