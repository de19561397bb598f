/*
 * execute.h
 *		Running a job's function, procedure or command.
 *
 * In the transaction that the worker has opened (a procedure or VACUUM may have
 * replaced it on return); errors are thrown.  The result is JSON or NULL, in the
 * current memory context, which must outlive transactions.
 */
#ifndef DEFER_EXECUTE_H
#define DEFER_EXECUTE_H

#include "nodes/params.h"
#include "nodes/parsenodes.h"
#include "tcop/cmdtag.h"
#include "tcop/dest.h"

#include "base/job.h"

extern Jsonb *execute_job(const Job *job);

/* Run a function or procedure that was looked up, and whose rights were checked */
struct FunctionEntry;
extern Jsonb *execute_function(struct FunctionEntry *entry, Jsonb *args);

/*
 * Run one statement as if a client had sent it; "receiver" may be NULL.  It may
 * end transactions; there is one on return.  All that it needs is in the
 * current memory context, which must outlive a transaction.
 */
extern void execute_statement(RawStmt *stmt, const char *sql, ParamListInfo params, Oid *types,
							  int nparams, DestReceiver *receiver, QueryCompletion *completion);

#endif							/* DEFER_EXECUTE_H */
