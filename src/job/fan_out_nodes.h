/*
 * fan_out_nodes.h
 *		The part of a fan-out that is on other nodes of Citus: job/fan_out_nodes.c.
 */
#ifndef JOB_FAN_OUT_NODES_H
#define JOB_FAN_OUT_NODES_H

#include "base/job.h"
#include "base/job_state.h"

/*
 * In the transaction of a job that is to begin, where Citus is loaded: return for how long
 * (microseconds) it waits on, because it comes after a fan-out, and jobs of that on other nodes
 * have not ended, or a node does not say; 0: it need not.
 */
extern int64 fan_out_wait_for_nodes(const Job *job);

/* Add the jobs on other nodes that have ended, by state.  Error if a node does not answer */
extern void fan_out_add_nodes(int64 id, int64 counts[JOB_ENDS]);

#endif							/* JOB_FAN_OUT_NODES_H */
