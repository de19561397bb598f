/*
 * retry.h
 *		What becomes of a job whose attempt did not succeed.
 */
#ifndef DEFER_RETRY_H
#define DEFER_RETRY_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "job/finish.h"
#include "pure/retry_policy.h"

typedef struct AttemptResult
{
	const char *outcome;		/* of the attempt; NULL: it has not begun */
	bool		counts;			/* the attempt is used up */
	char		state;			/* the job ends so; 0: it is tried again */
	TimestampTz retry_at;
} AttemptResult;

/*
 * Decide by the job's policy what becomes of it.  For crashes of a worker or of
 * the server see job/recovery.c.  An outcome of NULL: the delivery was not tried,
 * and there is no attempt to record.
 */
extern AttemptResult retry_classify_failure(const Job *job, const JobPolicy *policy,
											FailureKind kind, const ErrorData *error);
extern AttemptResult retry_classify_delivery(const Job *job, const JobPolicy *policy,
											 const DeliveryEnd *end);

#endif							/* DEFER_RETRY_H */
