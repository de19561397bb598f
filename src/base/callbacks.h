/*
 * callbacks.h
 *		One place in each of the server's callback lists, shared by the library's
 *		files.
 *
 * All libraries of a server share ten callbacks for the relation cache and 64 for
 * the system caches; a process that asks for one more ends.  So the library takes
 * one of the former and one for each system cache of the latter, and hands the
 * calls on.  Its transaction callbacks are handed on the same way: those of the
 * server are called at each transaction of every session.
 *
 * Registering is for the life of the process; a function that is registered
 * again stays so once.  The functions are called in the reverse order, as the
 * server does.  Those of the caches are called in the middle of whatever the
 * server does: they set flags and nothing else.
 */
#ifndef DEFER_CALLBACKS_H
#define DEFER_CALLBACKS_H

#include "postgres.h"

#include "access/xact.h"

/* A relation's entry is invalid; InvalidOid: those of all relations are */
typedef void (*RelcacheChanged) (Oid relation);

/* An entry of a system cache is invalid, by its hash value; 0: all entries are */
typedef void (*SyscacheChanged) (int cache, uint32 hash);

typedef void (*XactEnded) (XactEvent event);
typedef void (*SubXactEnded) (SubXactEvent event);

extern void defer_on_relcache_change(RelcacheChanged function);
extern void defer_on_syscache_change(int cache, SyscacheChanged function);
extern void defer_on_xact_event(XactEnded function);
extern void defer_on_subxact_event(SubXactEnded function);

#endif							/* DEFER_CALLBACKS_H */
