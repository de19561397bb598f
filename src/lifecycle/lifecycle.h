/*
 * lifecycle.h
 *		A database comes and goes: copies of it, DDL on it.
 */
#ifndef DEFER_LIFECYCLE_H
#define DEFER_LIFECYCLE_H

/*
 * lifecycle/restore_detect.c: a server restored from a base backup
 */

/*
 * In the postmaster: find out whether this is its first start, and mark that in a file.
 * Returns whether the server goes on with the data that it had when it ran last.
 */
extern bool restore_detect_at_start(void);

/* In a scheduler: mark the database as a copy if that file is there */
extern void restore_detect_mark_database(void);

/* In the launcher, when all databases are marked: remove the file */
extern void restore_detect_done(void);

/*
 * lifecycle/activate.c: in the scheduler, in a transaction, remember which node of Citus
 * the database is, once it is one
 */
extern void activate_note_node(void);

/*
 * lifecycle/database_ddl.c: in _PG_init.  Processes leave a database before DDL on
 * it, or DROP EXTENSION, is run
 */
extern void database_ddl_init(void);

#endif							/* DEFER_LIFECYCLE_H */
