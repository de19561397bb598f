/*
 * job_state.h
 *		How jobs end.
 */
#ifndef DEFER_JOB_STATE_H
#define DEFER_JOB_STATE_H

/* How a job ended (job_history.state) */
#define STATE_SUCCEEDED 's'
#define STATE_FAILED	'f'
#define STATE_CANCELLED 'c'
#define STATE_DISCARDED 'd'

#endif							/* DEFER_JOB_STATE_H */
