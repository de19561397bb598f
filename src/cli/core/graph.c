/*
 * graph.c
 *		Graphs without circles, such as workflows: where their nodes are drawn.
 */
#include "core/graph.h"

#include <stdlib.h>

#include "core/buffer.h"
#include "core/query.h"

/* Read numbers of nodes with blanks between them; NULL: none */
static void
read_before(Graph *graph, GraphNode *node, const char *numbers)
{
	char	   *rest;

	while (numbers != NULL && *numbers != '\0')
	{
		long		number = strtol(numbers, &rest, 10);

		if (rest == numbers)
			break;
		numbers = rest;
		if (number < 0 || number >= graph->nnodes)
			continue;
		node->before = xrealloc(node->before, (size_t) (node->nbefore + 1) * sizeof(int));
		node->before[node->nbefore++] = (int) number;
	}
}

/* Set the levels.  A circle, which the server does not allow, ends after so many turns */
static void
set_levels(Graph *graph)
{
	bool		changed = true;

	for (int turn = 0; changed && turn < graph->nnodes; turn++)
	{
		changed = false;
		for (int i = 0; i < graph->nnodes; i++)
		{
			GraphNode  *node = &graph->nodes[i];

			for (int j = 0; j < node->nbefore; j++)
			{
				if (node->level > graph->nodes[node->before[j]].level)
					continue;
				node->level = graph->nodes[node->before[j]].level + 1;
				changed = true;
			}
		}
	}
	for (int i = 0; i < graph->nnodes; i++)
	{
		if (graph->nodes[i].level >= graph->nlevels)
			graph->nlevels = graph->nodes[i].level + 1;
	}
}

/* Find the one of the highest level, the last of these, that a node comes after */
static void
set_under(Graph *graph, GraphNode *node)
{
	node->under = -1;
	for (int j = 0; j < node->nbefore; j++)
	{
		if (node->under < 0 ||
			graph->nodes[node->before[j]].level >= graph->nodes[node->under].level)
			node->under = node->before[j];
	}
}

/* The mean place of those that a node comes after: lines to these are short and cross few others */
static double
wanted_place(const Graph *graph, const GraphNode *node)
{
	double		sum = 0;

	for (int j = 0; j < node->nbefore; j++)
		sum += graph->nodes[node->before[j]].place;
	return node->nbefore > 0 ? sum / node->nbefore : 0;
}

/* Set the places of a level, when those of the levels before have theirs */
static void
set_places(Graph *graph, int level)
{
	int		   *members = xmalloc((size_t) graph->nnodes * sizeof(int));
	int			n = 0;

	for (int i = 0; i < graph->nnodes; i++)
	{
		double		wanted;
		int			at;

		if (graph->nodes[i].level != level)
			continue;
		wanted = wanted_place(graph, &graph->nodes[i]);
		for (at = n++; at > 0 && wanted_place(graph, &graph->nodes[members[at - 1]]) > wanted; at--)
			members[at] = members[at - 1];
		members[at] = i;
	}
	for (int at = 0; at < n; at++)
		graph->nodes[members[at]].place = at;
	if (n > graph->width)
		graph->width = n;
	free(members);
}

/* Make a graph of rows that have the columns of GRAPH_PLACES_SQL, in the order of "place" */
void
graph_read(Graph *graph, const PGresult *res)
{
	*graph = (Graph) {.nnodes = PQntuples(res)};
	graph->nodes = xmalloc((size_t) (graph->nnodes > 0 ? graph->nnodes : 1) * sizeof(GraphNode));
	for (int i = 0; i < graph->nnodes; i++)
	{
		graph->nodes[i] = (GraphNode) {0};
		read_before(graph, &graph->nodes[i], result_value(res, i, "before"));
	}
	set_levels(graph);
	for (int i = 0; i < graph->nnodes; i++)
		set_under(graph, &graph->nodes[i]);
	for (int level = 0; level < graph->nlevels; level++)
		set_places(graph, level);
}

void
graph_free(Graph *graph)
{
	for (int i = 0; i < graph->nnodes; i++)
		free(graph->nodes[i].before);
	free(graph->nodes);
}
