/*
 * task.h
 *		Tasks: functions that live outside of the server, by name.
 *
 * A task has a row in defer.task, which says who may use it, and one in
 * defer.function, under its name, with the settings that functions have.
 */
#ifndef DEFER_TASK_H
#define DEFER_TASK_H

#include "storage/lockdefs.h"
#include "utils/jsonb.h"

/* What a role may do with a task */
typedef enum TaskRight
{
	TASK_ENQUEUE,
	TASK_WORK,					/* take its jobs and end them */
	TASK_RIGHTS
} TaskRight;

typedef struct TaskSettings
{
	char	   *name;
	Oid			owner;
	Oid		   *granted[TASK_RIGHTS];	/* InvalidOid in it: everybody */
	int			ngranted[TASK_RIGHTS];
	Jsonb	   *schema;			/* of its arguments; NULL: not checked */
} TaskSettings;

/*
 * Find a task by its name, NULL: there is none; or read all of them, as an array
 * of pointers.  Both are good until the next call that may read tables.
 */
extern const TaskSettings *task_find(const char *name);
extern const TaskSettings *const *task_all(int *n);

/* config/task.c: error unless the current user may manage the task of that owner */
extern void task_check_owner(const char *name, Oid owner);

extern bool task_usable_by(const TaskSettings *task, Oid role, TaskRight right);

/*
 * Lock a task against defer.drop_task() up to the end of the transaction, and find
 * it then; NULL: there is none.
 */
extern const TaskSettings *task_lock(const char *name);
extern void task_lock_name(const char *name, LOCKMODE mode);	/* the lock alone */

/*
 * The same to enqueue a job of that role.  Error if the task is gone, or the role
 * has no right to it.
 */
extern const TaskSettings *task_check_usable(const char *name, Oid role);

#endif							/* DEFER_TASK_H */
