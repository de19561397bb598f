/*
 * named_call.h
 *		Calls of functions of defer that have many parameters with defaults, each of
 *		them an option of a command: commands/named_call.c.
 */
#ifndef CLI_NAMED_CALL_H
#define CLI_NAMED_CALL_H

#include "core/buffer.h"
#include "core/options.h"

#define NAMED_OPTIONS_MAX	24
#define NAMED_VALUES_MAX	(NAMED_OPTIONS_MAX + 3)

/* An option, and the parameter that it is */
typedef struct NamedOption
{
	unsigned	commands;		/* bits of the commands that have it */
	const char *option;			/* long name */
	char		letter;			/* 0: none */
	OptionKind	kind;			/* not OPTION_SECONDS */
	const char *parameter;
	const char *type;			/* of the parameter, in pg_catalog */
} NamedOption;

/* The options of one command */
typedef struct NamedCall
{
	const NamedOption *named[NAMED_OPTIONS_MAX];
	Option		options[NAMED_OPTIONS_MAX + 3]; /* for options_parse(): the
												 * command's own may follow */
	const char *texts[NAMED_OPTIONS_MAX];
	bool		flags[NAMED_OPTIONS_MAX];
	int			n;
} NamedCall;

extern void named_call_init(NamedCall *call, const NamedOption *all, int n, unsigned command);
extern const char *named_call_value(const NamedCall *call, const char *option);
extern int	named_call_add(NamedCall *call, Buffer *sql, const char **values, int nvalues);

#endif							/* CLI_NAMED_CALL_H */
