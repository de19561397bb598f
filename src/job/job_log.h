/*
 * job_log.h
 *		Messages of a job: NOTICE and above, and defer.log().
 */
#ifndef DEFER_JOB_LOG_H
#define DEFER_JOB_LOG_H

#include "datatype/timestamp.h"

extern void job_log_init(void); /* worker start */
extern void job_log_begin(void);
extern void job_log_write(int64 job_id, Oid owner, int32 attempt);	/* insert what was
																	 * collected */
extern void job_log_add(int elevel, const char *message);
extern void job_log_end(void);	/* forget */

/* What defer.logs calls the level of a message */
extern const char *job_log_level_name(int level);

#endif							/* DEFER_JOB_LOG_H */
