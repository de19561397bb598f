/*
 * graph.h
 *		Graphs without circles, such as workflows: where their nodes are drawn.
 */
#ifndef CLI_GRAPH_H
#define CLI_GRAPH_H

#include "core/base.h"

#include "libpq-fe.h"

typedef struct GraphNode
{
	int		   *before;			/* nodes that it comes after, by number from 0
								 * on */
	int			nbefore;
	int			level;			/* 0: it comes after none; else one more than
								 * the highest of those */
	int			place;			/* among those of its level, from 0 on */
	int			under;			/* in a tree: the one of those that it is
								 * drawn below; -1: it comes after none */
} GraphNode;

typedef struct Graph
{
	GraphNode  *nodes;
	int			nnodes;
	int			nlevels;
	int			width;			/* the most nodes of a level */
} Graph;

/*
 * SQL of a table expression "places", of the steps of the workflow with the id: all
 * columns of defer.workflow_steps, "place" from 0 on, and "before", the places of those
 * that each comes after.  At most a thousand.
 */
#define GRAPH_PLACES_SQL(id) \
	"listed AS MATERIALIZED (SELECT s.*, pg_catalog.row_number() OVER (ORDER BY s.ord) - 1 AS place" \
	" FROM defer.workflow_steps s WHERE s.workflow_id = " id " ORDER BY s.ord LIMIT 1000)," \
	" places AS MATERIALIZED (SELECT s.*, (SELECT pg_catalog.string_agg(p.place::pg_catalog.text, ' ' ORDER BY p.place)" \
	" FROM listed p WHERE p.name = ANY (s.after)) AS before FROM listed s)"

extern void graph_read(Graph *graph, const PGresult *res);
extern void graph_free(Graph *graph);

#endif							/* CLI_GRAPH_H */
