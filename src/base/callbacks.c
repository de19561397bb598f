/*
 * callbacks.c
 *		Hands the server's callbacks on to the files that registered for them.
 */
#include "postgres.h"

#include "utils/inval.h"

#include "base/callbacks.h"

/* More than the library's files register; see list_full() */
#define RELCACHE_MAX	12
#define SYSCACHE_MAX	24
#define XACT_MAX		20

static RelcacheChanged relcache_list[RELCACHE_MAX];
static int	relcache_count = 0;

static struct
{
	int			cache;
	SyscacheChanged function;
}			syscache_list[SYSCACHE_MAX];
static int	syscache_count = 0;

static XactEnded xact_list[XACT_MAX];
static int	xact_count = 0;

static SubXactEnded subxact_list[XACT_MAX];
static int	subxact_count = 0;

/* Raise the error of a list whose length above is too small */
static void
list_full(const char *what)
{
	elog(ERROR, "too many callbacks of defer for %s", what);
}

static void
relcache_callback(Datum arg, Oid relation)
{
	for (int i = relcache_count; i-- > 0;)
		relcache_list[i] (relation);
}

void
defer_on_relcache_change(RelcacheChanged function)
{
	for (int i = 0; i < relcache_count; i++)
	{
		if (relcache_list[i] == function)
			return;
	}
	if (relcache_count == RELCACHE_MAX)
		list_full("the relation cache");
	if (relcache_count == 0)
		CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
	relcache_list[relcache_count++] = function;
}

static void
syscache_callback(Datum arg, int cache, uint32 hash)
{
	for (int i = syscache_count; i-- > 0;)
	{
		if (syscache_list[i].cache == cache)
			syscache_list[i].function(cache, hash);
	}
}

void
defer_on_syscache_change(int cache, SyscacheChanged function)
{
	bool		is_first = true;

	for (int i = 0; i < syscache_count; i++)
	{
		if (syscache_list[i].cache != cache)
			continue;
		if (syscache_list[i].function == function)
			return;
		is_first = false;
	}
	if (syscache_count == SYSCACHE_MAX)
		list_full("the system caches");
	if (is_first)
		CacheRegisterSyscacheCallback(cache, syscache_callback, (Datum) 0);
	syscache_list[syscache_count].cache = cache;
	syscache_list[syscache_count++].function = function;
}

static void
xact_callback(XactEvent event, void *arg)
{
	for (int i = xact_count; i-- > 0;)
		xact_list[i] (event);
}

void
defer_on_xact_event(XactEnded function)
{
	for (int i = 0; i < xact_count; i++)
	{
		if (xact_list[i] == function)
			return;
	}
	if (xact_count == XACT_MAX)
		list_full("transactions");
	if (xact_count == 0)
		RegisterXactCallback(xact_callback, NULL);
	xact_list[xact_count++] = function;
}

static void
subxact_callback(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	for (int i = subxact_count; i-- > 0;)
		subxact_list[i] (event);
}

void
defer_on_subxact_event(SubXactEnded function)
{
	for (int i = 0; i < subxact_count; i++)
	{
		if (subxact_list[i] == function)
			return;
	}
	if (subxact_count == XACT_MAX)
		list_full("subtransactions");
	if (subxact_count == 0)
		RegisterSubXactCallback(subxact_callback, NULL);
	subxact_list[subxact_count++] = function;
}
