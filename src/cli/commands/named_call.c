/*
 * named_call.c
 *		Calls of functions of defer that have many parameters with defaults, each of
 *		them an option of a command.
 *
 * Only options that are given become arguments, so that the function's own defaults
 * hold for the others.  The statement is made of words of this program; values are
 * always parameters of it.
 */
#include "commands/named_call.h"

#include <string.h>

/* Select the options of one of several commands, which are bits */
void
named_call_init(NamedCall *call, const NamedOption *all, int n, unsigned command)
{
	memset(call, 0, sizeof(*call));
	for (int i = 0; i < n; i++)
	{
		int			to = call->n;

		if ((all[i].commands & command) == 0)
			continue;
		call->named[to] = &all[i];
		call->options[to].name = all[i].option;
		call->options[to].letter = all[i].letter;
		call->options[to].kind = all[i].kind;
		if (all[i].kind == OPTION_FLAG)
			call->options[to].target = &call->flags[to];
		else
			call->options[to].target = &call->texts[to];
		call->n++;
	}
}

/* Return what was given for an option; NULL: nothing */
const char *
named_call_value(const NamedCall *call, const char *option)
{
	for (int i = 0; i < call->n; i++)
	{
		if (strcmp(call->named[i]->option, option) == 0)
			return call->texts[i];
	}
	return NULL;
}

/*
 * Append ", parameter => $n" for each option that was given, and its value behind the
 * "nvalues" that there are; returns how many there are then.
 */
int
named_call_add(NamedCall *call, Buffer *sql, const char **values, int nvalues)
{
	for (int i = 0; i < call->n; i++)
	{
		if (call->flags[i])
			call->texts[i] = "true";
		if (call->texts[i] == NULL)
			continue;
		values[nvalues++] = call->texts[i];
		buffer_printf(sql, ", \"%s\" => $%d::pg_catalog.%s", call->named[i]->parameter, nvalues,
					  call->named[i]->type);
	}
	return nvalues;
}
