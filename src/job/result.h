/*
 * result.h
 *		Results of jobs as JSON: job/result.c.
 */
#ifndef JOB_RESULT_H
#define JOB_RESULT_H

#include "tcop/dest.h"
#include "utils/jsonb.h"

/*
 * The result of a function that has returned one value.  NULL if it is too
 * large: then the job's log says so.
 */
extern Jsonb *result_of_value(Datum value, Oid type);

/*
 * A receiver of rows, and the result of what it has received: an array of each
 * row's only column, or ("whole") the first row as an object.  NULL as above.
 */
extern DestReceiver *result_receiver(bool whole);
extern Jsonb *result_of_rows(DestReceiver *receiver);

#endif							/* JOB_RESULT_H */
