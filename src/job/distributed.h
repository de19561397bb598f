/*
 * distributed.h
 *		Jobs in a database that is a node of Citus: job/distributed.c and, for jobs that
 *		are enqueued on several nodes, job/distributed_enqueue.c.
 */
#ifndef JOB_DISTRIBUTED_H
#define JOB_DISTRIBUTED_H

/*
 * In the transaction of a job that a worker runs, before anything of it is done; with 0 when
 * it has ended.
 */
extern void distributed_set_job(int64 job_id);

/*
 * Before a function, or a statement that may run in a transaction block, is planned:
 * what the job does on other nodes becomes part of its transaction.
 */
extern void distributed_begin_block(void);

/* Commit the transaction of a job */
extern void distributed_commit(void);

/* Return the job that this process runs as a worker; 0: it is none */
extern int64 distributed_job(void);

/* In _PG_init, where Citus is loaded */
extern void distributed_init(void);
extern void distributed_enqueue_init(void);

/*
 * Return the job of another node that has sent the statement which enqueues here; 0: none.
 * Error if the statement may be one part of several, and is not committed with the others.
 */
extern int64 distributed_sender(void);

#endif							/* JOB_DISTRIBUTED_H */
