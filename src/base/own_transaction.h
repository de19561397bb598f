/*
 * own_transaction.h
 *		Transactions of our own: base/own_transaction.c.
 */
#ifndef DEFER_OWN_TRANSACTION_H
#define DEFER_OWN_TRANSACTION_H

/*
 * For a process that runs no jobs, at its start: its transactions do not end by the
 * server's time limit for users, nor compile small statements, nor wait for a standby.
 */
extern void own_transaction_settings(void);

/* Begin a transaction for our own writes, whatever the role's defaults are */
extern void own_transaction_begin(void);
extern void own_transaction_begin_at(int isolation);
extern void own_transaction_end(void);

/*
 * The same where rows were written because others are not there: a restore brings one
 * table after the other, and holds the database back from its first row.  False: it has,
 * and all is rolled back.
 */
extern bool own_transaction_end_if_active(void);

/* In one: fail soon where a lock is held by others, as more than this one waits for us */
extern void own_transaction_wait_briefly(void);
extern void own_transaction_do_not_flush(void);

extern bool own_transaction_is_locked(void);
extern bool own_transaction_would_wait(void);
extern void own_transaction_report_error(MemoryContext context);
extern bool own_transaction_extension_exists(void);

#endif							/* DEFER_OWN_TRANSACTION_H */
