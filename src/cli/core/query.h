/*
 * query.h
 *		Queries, their results and their errors.
 */
#ifndef CLI_QUERY_H
#define CLI_QUERY_H

#include "core/buffer.h"

#include "libpq-fe.h"

extern PGresult *query_try(PGconn *conn, const char *sql, int n, const char *const *values);
extern PGresult *query_run(PGconn *conn, const char *sql, int n, const char *const *values);
extern PGresult *query_by_name_try(PGconn *conn, const char *sql, int n, const char *const *values);
extern PGresult *query_by_name(PGconn *conn, const char *sql, int n, const char *const *values);
extern void query_fail(PGconn *conn, const PGresult *res) CLI_NORETURN;

extern bool result_good(const PGresult *res);
extern void result_error(Buffer *out, PGconn *conn, const PGresult *res);
extern const char *result_value(const PGresult *res, int row, const char *column);
extern const char *result_text(const PGresult *res, int row, const char *column);
extern double result_number(const PGresult *res, int row, const char *column);
extern int64_t result_int64(const PGresult *res, int row, const char *column);
extern bool result_true(const PGresult *res, int row, const char *column);

#endif							/* CLI_QUERY_H */
