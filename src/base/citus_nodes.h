/*
 * citus_nodes.h
 *		Other nodes of Citus, and what they answer: base/citus_nodes.c.
 */
#ifndef DEFER_CITUS_NODES_H
#define DEFER_CITUS_NODES_H

#include "nodes/pg_list.h"

/* Time to connect to a node, and for it to list rows, in milliseconds */
#define CITUS_NODE_TIME	1000

#define CITUS_ALL_NODES	(-1)

typedef struct NodeAnswer
{
	int32		node;
	char	   *address;		/* host:port */
	bool		answered;
	char	   *text;			/* the value that the command returned, "" for
								 * NULL; or why it did not answer */
} NodeAnswer;

/*
 * Run a command that returns one value on a node, or on all but this one, at the same time,
 * as the current user, in a transaction of each node's own that has been committed when it
 * answers.  Return a NodeAnswer for each of them, by number, in the current memory context;
 * NIL: there is no such node, this is it, or the database has no Citus.  A node that cannot
 * be reached within CITUS_NODE_TIME has not answered; for how long the command may run is
 * for itself to say.
 */
extern List *citus_ask(int32 node, const char *command);

#endif							/* DEFER_CITUS_NODES_H */
