/*
 * cap_scan.h
 *		All unfinished jobs of one function or queue, to count them: table/cap_scan.c.
 */
#ifndef CAP_SCAN_H
#define CAP_SCAN_H

#include "utils/snapshot.h"

/* A job that was found; its group, or NULL; called in memory that is given back after it */
typedef void (*CapScanJob) (const text *group, void *arg);

/*
 * Read defer.job once, from end to end.  kind: 'f', a function, or 'q', a queue.  Jobs are
 * those that the snapshot sees, and those that were inserted by transactions which it sees
 * in progress and which have not been rolled back.  Jobs that are in the history, as the
 * snapshot sees it, have ended.  The table must be open: no lock is waited for.
 */
extern void cap_scan(char kind, const char *name, Snapshot snapshot, CapScanJob job, void *arg);

#endif							/* CAP_SCAN_H */
