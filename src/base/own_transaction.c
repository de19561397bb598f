/*
 * own_transaction.c
 *		Transactions of our own, in a process that also runs those of users.
 *		Our tables are written whatever the role's defaults are.  A session
 *		that has locked them is not waited for long.
 */
#include "postgres.h"

#include "access/xact.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/catalog.h"
#include "base/own_transaction.h"

/* They wait so long for a lock */
#define LOCK_TIMEOUT_OWN	"2s"
#define LOCK_TIMEOUT_BRIEF	"50ms"

static MemoryContext bookkeeping_context;

/*
 * The snapshot is not for what we read, which is mostly as of now: a row whose
 * values are stored out of line can be neither read nor deleted without one.
 */
void
own_transaction_begin_at(int isolation)
{
	bookkeeping_context = CurrentMemoryContext;
	StartTransactionCommand();
	XactIsoLevel = isolation;
	XactReadOnly = false;
	XactDeferrable = false;
	PushActiveSnapshot(GetTransactionSnapshot());

	/*
	 * A session that locks our tables holds up neither a process that is to
	 * leave nor those that wait for its place: it is an error, and tried
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
	MemoryContextSwitchTo(bookkeeping_context);
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

/* Print an error of our own and make sure that nothing of it is left */
void
own_transaction_report_error(MemoryContext context)
{
	MemoryContextSwitchTo(context);
	EmitErrorReport();
	FlushErrorState();
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(context);
}

/* In a transaction of its own: it may have been dropped under us */
bool
own_transaction_extension_exists(void)
{
	bool		there;

	own_transaction_begin();
	there = catalog_installed();
	own_transaction_end();
	return there;
}
