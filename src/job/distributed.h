/*
 * distributed.h
 *		Jobs in a database that is a node of Citus: job/distributed.c.
 */
#ifndef JOB_DISTRIBUTED_H
#define JOB_DISTRIBUTED_H

/* In the transaction of a job that a worker runs, before anything of it is done */
extern void distributed_before_job(void);

/*
 * Before a function, or a statement that may run in a transaction block, is planned:
 * what the job does on other nodes becomes part of its transaction.
 */
extern void distributed_begin_block(void);

/* Commit the transaction of a job */
extern void distributed_commit(void);

#endif							/* JOB_DISTRIBUTED_H */
