/*
 * preload.h
 *		Checks whether defer is in shared_preload_libraries.  If not there is
 *		no shared memory, and jobs and schedules are stored but not run.
 */
#ifndef DEFER_PRELOAD_H
#define DEFER_PRELOAD_H

extern bool shmem_is_present(void);
extern void warn_if_not_preloaded(void);	/* WARNING, once a session */

#endif							/* DEFER_PRELOAD_H */
