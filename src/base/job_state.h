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

/* These, in the order of views and counters, and their names */
#define JOB_ENDS		4
#define JOB_END_LETTERS	"sfcd"

static inline const char *
job_end_name(int i)
{
	static const char *const names[JOB_ENDS] = {"succeeded", "failed", "cancelled", "discarded"};

	return names[i];
}

/* The number of an end, from 0 on; -1: the letter is none */
static inline int
job_end_number(char state)
{
	const char *letter = state == '\0' ? NULL : strchr(JOB_END_LETTERS, state);

	return letter == NULL ? -1 : (int) (letter - JOB_END_LETTERS);
}

#endif							/* DEFER_JOB_STATE_H */
