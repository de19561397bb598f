/*
 * job_insert.h
 *		New rows of defer.job: table/job_insert.c.
 */
#ifndef JOB_INSERT_H
#define JOB_INSERT_H

#include "postgres.h"

struct Job;

/* The job that has a key */
typedef struct KeyHolder
{
	int64		id;
	bool		claimed;
} KeyHolder;

/* A number for a new job: of a sequence, and on a node of Citus of that node's range */
extern int64 job_new_id(void);

/*
 * Insert a job, and call xact_notify_job().  claim is set here, id and
 * enqueued_at if they are 0.  The first is for jobs without a key and returns
 * the id.  The second inserts nothing, and returns false, if there is a row that
 * has the key; that job may have ended, if it is claimed.  Whether it is there
 * is as of now, after the end of transactions that have inserted one.
 */
extern int64 job_insert(struct Job *job);
extern bool job_insert_key(struct Job *job, KeyHolder *holder);

#endif							/* JOB_INSERT_H */
