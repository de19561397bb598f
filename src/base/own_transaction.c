/*
 * own_transaction.c
 *		Transactions of the extension, in a process that also runs those of users.
 *		They write defer's tables whatever the role's defaults are, and do not
 *		wait long for a session that has locked these.
 */
#include "postgres.h"

#include "access/xact.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/compat.h"
#include "base/own_transaction.h"

/* Time-outs of their waits for locks */
#define LOCK_TIMEOUT_OWN	"2s"
#define LOCK_TIMEOUT_BRIEF	"50ms"

static MemoryContext callers_context;

/*
 * No client waits for these processes' commits: a synchronous standby that is away must
 * not keep the scheduler from starting workers, as what it has not got is done again
 * there, should it take over.
 */
void
own_transaction_settings(void)
{
	SetConfigOption("synchronous_commit", "local", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("jit", "off", PGC_USERSET, PGC_S_OVERRIDE);
	(void) compat_transaction_timeout_off();
}

/*
 * Begin a transaction with an active snapshot: a row whose values are stored out of
 * line can be neither read nor deleted without one.  (Most reads do not use it, and
 * take a snapshot of their own.)
 */
void
own_transaction_begin_at(int isolation)
{
	callers_context = CurrentMemoryContext;
	StartTransactionCommand();
	XactIsoLevel = isolation;
	XactReadOnly = false;
	XactDeferrable = false;
	PushActiveSnapshot(GetTransactionSnapshot());

	/*
	 * A lock of a session must keep neither this process from exiting nor
	 * others from its slot: the wait ends with an error, and callers try
	 * again.
	 */
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT_OWN, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

void
own_transaction_wait_briefly(void)
{
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT_BRIEF, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

/* Do not flush the commit, whatever the process' setting is */
void
own_transaction_do_not_flush(void)
{
	if (synchronous_commit > SYNCHRONOUS_COMMIT_OFF)
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
}

void
own_transaction_begin(void)
{
	own_transaction_begin_at(XACT_READ_COMMITTED);
}

/*
 * Check whether a session holds a lock on our tables that a worker would wait
 * for.  In a transaction, which keeps the locks that it gets.
 */
bool
own_transaction_is_locked(void)
{
	static const CatalogObject tables[] = {CAT_JOB, CAT_CLAIM, CAT_HISTORY};

	for (int i = 0; i < lengthof(tables); i++)
	{
		if (!ConditionalLockRelationOid(catalog_oid(tables[i]), RowExclusiveLock))
			return true;
	}
	return false;
}

/* Commit, and go on in the memory context that own_transaction_begin() found */
void
own_transaction_end(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(callers_context);
}

bool
own_transaction_end_if_active(void)
{
	if (catalog_is_active())
	{
		own_transaction_end();
		return true;
	}
	AbortCurrentTransaction();
	MemoryContextSwitchTo(callers_context);
	return false;
}

/*
 * own_transaction_is_locked(), in a transaction of its own: a lock may be
 * taken the next moment
 */
bool
own_transaction_would_wait(void)
{
	bool		locked;

	own_transaction_begin();
	locked = own_transaction_is_locked();
	own_transaction_end();
	return locked;
}

/* Log the error that was caught, and abort the transaction */
void
own_transaction_report_error(MemoryContext context)
{
	MemoryContextSwitchTo(context);
	EmitErrorReport();
	FlushErrorState();
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(context);
}

/*
 * Check, in a transaction of its own, whether the extension still exists: another
 * session may have dropped it.
 */
bool
own_transaction_extension_exists(void)
{
	bool		exists;

	own_transaction_begin();
	exists = catalog_installed();
	own_transaction_end();
	return exists;
}
