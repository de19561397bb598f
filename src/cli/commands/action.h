/*
 * action.h
 *		Commands that call one function of defer for each of their arguments:
 *		commands/action.c.
 */
#ifndef CLI_ACTION_H
#define CLI_ACTION_H

#include "core/options.h"

typedef struct Action
{
	const char *sql;			/* $1 is the argument; one row, one column */
	const char *done;			/* message before the argument */
	const char *nothing;		/* format of the message for false or no row */
	bool		ids;			/* arguments are ids of jobs */
	bool		by_name;		/* arguments name functions: search_path
								 * counts */
	bool		new_job;		/* the column is the id of a new job */
	bool		of_roles;		/* --owner can say which object is meant */
} Action;

/*
 * Call an action's function for each argument, which is $1; returns the exit code.  Each
 * call is a transaction of its own; after an error the next is made all the same.
 */
extern int	action_call(const Action *action, int count, char **arguments, int nvalues,
						const char **values);

#endif							/* CLI_ACTION_H */
