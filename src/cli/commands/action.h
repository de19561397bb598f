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

/* What follows a call with the id of a schedule, s.id: $1 is its name, $2 its owner */
#define ACTION_OF_OWNER \
	" FROM defer.schedules s WHERE s.name OPERATOR(pg_catalog.=) $1" \
	" AND s.owner::pg_catalog.text OPERATOR(pg_catalog.=) $2"

/* Run a command whose only option is --owner; by_owner is called with $2, if it is given */
extern int	action_on_schedules(int argc, char **argv, const Action *by_name,
								const Action *by_owner);

#endif							/* CLI_ACTION_H */
