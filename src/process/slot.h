/*
 * slot.h
 *		How processes take their slots in shared memory, and give them back.
 *
 * A slot is given out by the process that starts another one: the scheduler
 * for workers, the launcher for schedulers.  The process that was started
 * attaches to it before it is connected, and detaches from it after that, so
 * that a process that waits for a database to be left sees it as long as it is
 * there.  A worker's slot has a generation, which grows each time it is given
 * out: one that comes late does not take a slot that was given to another
 * meanwhile.
 */
#ifndef SLOT_H
#define SLOT_H

#include "shmem/workers.h"

/*
 * In the scheduler: a slot for a worker, -1: there is none; "extra": for awaited
 * jobs only.  And back, if the process could not be started.
 */
extern int	slot_take_worker(Oid owner, bool extra, uint32 *generation);
extern void slot_give_back_worker(int index, uint32 generation);

/*
 * Ask workers of other pools than that role's for their slots: idle ones, which
 * exit at once; or else, if "busy", one of the largest pool, which exits after
 * its job.
 */
extern void slot_ask_for(Oid owner, int64 want, bool busy);

/* In the worker: false if the slot is another's by now, or DDL wants us out */
extern bool slot_attach_worker(int index, uint32 generation);

/*
 * connected: it came as far as that; else the scheduler, which finds the slot
 * as it was, puts the role off.  unfinalized: its claim is left to recovery.
 * lost_job: a job that ran, and whose end is not written; 0: none.
 */
extern void slot_detach_worker(bool connected, bool unfinalized, int64 lost_job);

/* No commit counts on this worker any more; false: one just did */
extern bool slot_stop_idling(void);

/* In the scheduler: false if it is not wanted any more */
extern bool slot_attach_scheduler(Oid database);
extern void slot_detach_scheduler(void);

#endif							/* SLOT_H */
