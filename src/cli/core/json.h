/*
 * json.h
 *		JSON on standard output: documents that the server makes, and objects
 *		of a few strings of our own.
 */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include "core/buffer.h"

#include "libpq-fe.h"

/*
 * Statements that make JSON of other statements: a row as an object, all rows
 * as an array of objects.  Members are in the order of the columns.
 */
#define JSON_ROW(sql) "(SELECT pg_catalog.row_to_json(one) FROM (" sql ") one)"
#define JSON_ROWS(sql) "(SELECT COALESCE(pg_catalog.json_agg(each), '[]') FROM (" sql ") each)"

extern void json_member(Buffer *out, const char *key, const char *value);
extern void json_member_raw(Buffer *out, const char *key, const char *value);
extern void json_print(const PGresult *res);
extern void json_print_line(const PGresult *res);

#endif							/* CLI_JSON_H */
