/*
 * main.c
 *		The program "defer": see jobs and schedules, and steer them, from a
 *		terminal.  This file has the table of commands, and their help.
 */
#include "core/cli.h"

#include <stdlib.h>
#include <string.h>

const Command *current_command = NULL;

static int	cmd_help(int argc, char **argv);

const Command commands[] = {
#include "commands/commands.h"
	{"help", "[COMMAND]", "this list, or the help of a command", cmd_help, NULL},
	{NULL}
};

static const Command *
find_command(const char *name)
{
	for (const Command *command = commands; command->name != NULL; command++)
	{
		if (strcmp(command->name, name) == 0)
			return command;
	}
	return NULL;
}

static int
cmd_help(int argc, char **argv)
{
	char	   *help[] = {"", "--help", NULL};
	int			count;

	argv = options_parse(argc, argv, NULL, 0, 1, &count);
	if (count > 0)
	{
		current_command = find_command(argv[0]);
		if (current_command == NULL)
			usage_error("there is no command \"%s\"", argv[0]);
	}
	options_parse(2, help, NULL, 0, 0, NULL);
	return CLI_OK;
}

int
main(int argc, char **argv)
{
	int			result;

	options_global(&argc, &argv);
	if (argc == 0)
		usage_error("which command?");
	current_command = find_command(argv[0]);
	if (current_command == NULL)
		usage_error("there is no command \"%s\"", argv[0]);
	result = current_command->run(argc, argv);
	finish_output();
	return result;
}
