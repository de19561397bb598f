/*
 * process_slot.h
 *		Describes what the slots of the launcher, schedulers, workers and senders
 *		have in common.
 *
 * All of it is under workers_lock.  process/slot.c gives slots out, and has the
 * functions by which a process attaches to its slot and detaches from it.
 */
#ifndef DEFER_PROCESS_SLOT_H
#define DEFER_PROCESS_SLOT_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "storage/latch.h"

typedef struct ProcessSlot
{
	pid_t		pid;			/* 0: no process is attached */
	Latch	   *latch;			/* in shared memory; NULL: no process is
								 * attached */
	TimestampTz since;			/* given out, attached, or its state changed */
	uint32		generation;		/* grows each time a worker's or a sender's
								 * slot is given out */
} ProcessSlot;

#endif							/* DEFER_PROCESS_SLOT_H */
