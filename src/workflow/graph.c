/*
 * graph.c
 *		The order of a workflow's steps: each behind those that it comes after.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

#include "workflow/definition.h"

/*
 * Name a circle: from a step that is in none of the order, go back from step to step until
 * one comes again.
 */
static void
raise_circle(const Workflow *workflow, const int *open, WorkflowPlace *place)
{
	int		   *seen = palloc0((workflow->n + 1) * sizeof(int));
	StringInfoData path;
	int			ord = 1;
	int			first;

	while (open[ord] == 0)
		ord++;
	while (seen[ord]++ == 0)
	{
		const WorkflowStep *step = &workflow->steps[ord - 1];
		int			i = 0;

		while (open[step->after[i]] == 0)
			i++;
		ord = step->after[i];
	}
	initStringInfo(&path);
	first = ord;
	do
	{
		const WorkflowStep *step = &workflow->steps[ord - 1];
		int			i = 0;

		appendStringInfo(&path, "\"%s\" after ", step->name);
		while (open[step->after[i]] == 0)
			i++;
		ord = step->after[i];
	} while (ord != first && path.len < 500);
	place->ord = first;
	place->name = workflow->steps[first - 1].name;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("it comes after itself"),
			 errdetail("The circle is %s\"%s\"%s.", path.data, workflow->steps[ord - 1].name,
					   ord == first ? "" : " and so on")));
}

void
workflow_put_in_order(Workflow *workflow, WorkflowPlace *place)
{
	const int	n = workflow->n;
	int		   *open = palloc0((n + 1) * sizeof(int));
	List	  **later = palloc0((n + 1) * sizeof(List *));
	int			found = 0;

	workflow->order = palloc(n * sizeof(int));
	for (int i = 0; i < n; i++)
	{
		const WorkflowStep *step = &workflow->steps[i];

		open[step->ord] = step->nafter;
		for (int j = 0; j < step->nafter; j++)
			later[step->after[j]] = lappend_int(later[step->after[j]], step->ord);
		if (step->nafter == 0)
			workflow->order[found++] = step->ord;
	}
	for (int i = 0; i < found; i++)
	{
		ListCell   *cell;

		foreach(cell, later[workflow->order[i]])
		{
			if (--open[lfirst_int(cell)] == 0)
				workflow->order[found++] = lfirst_int(cell);
		}
	}
	if (found < n)
		raise_circle(workflow, open, place);
}
