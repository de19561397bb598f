/*
 * slot.h
 *		How processes take their slots in shared memory, and give them back.
 *
 * A slot is given out by the process that starts another one: the scheduler for
 * workers and the sender, the launcher for schedulers.  The process that was
 * started attaches to it before it is connected to the database, and detaches
 * after the connection has ended, so that a session that waits until no process
 * is left in a database sees it all the time.  The slots of workers and senders
 * have a generation: a process that attaches too late does not take a slot that
 * was given to another one meanwhile.
 */
#ifndef SLOT_H
#define SLOT_H

#include "datatype/timestamp.h"

#include "shmem/senders.h"
#include "shmem/workers.h"

/* In the launcher */
extern void slot_attach_launcher(void);
extern void slot_detach_launcher(void);

/*
 * In the scheduler: a slot for a worker, -1: there is none; "extra": for awaited
 * jobs only.  And back, if the process could not be started.
 */
extern int	slot_take_worker(Oid owner, bool extra, uint32 *generation);
extern void slot_give_back_worker(int index, uint32 generation);

/*
 * In the scheduler: free the slot of a worker that did not come as far as being
 * connected, and return its role; InvalidOid: it is none such.  "ended" is the
 * generation of a process that has ended, 0: none has; "watched": the process
 * that this scheduler started for the slot has not ended.
 */
extern Oid	slot_reap_worker(int index, uint32 ended, bool watched, TimestampTz now);

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

/* In the scheduler: a slot for the sender of its database, -1: there is none */
extern int	slot_take_sender(uint32 *generation);
extern void slot_give_back_sender(int index, uint32 generation);

/*
 * In the scheduler: whether the sender, which does not answer, is about to start
 * or to exit.  "watched": the process that this scheduler started has not ended.
 * *lost: a sender has ended without attaching, and its slot is free now.
 */
extern bool slot_reap_sender(bool watched, bool *lost);

/* In the sender: NULL if the slot is another's by now, or DDL wants us out */
extern SenderSlot *slot_attach_sender(int index, uint32 generation);

/*
 * A sender that is about to exit is hidden: commits wake the scheduler instead.
 * It is shown again if there is something to send after all.
 */
extern void slot_hide_sender(SenderSlot *slot);
extern void slot_show_sender(SenderSlot *slot);

/* unfinalized: its claims are left to recovery */
extern void slot_detach_sender(SenderSlot *slot, bool unfinalized);

#endif							/* SLOT_H */
