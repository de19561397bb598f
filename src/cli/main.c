/*
 * main.c
 *		The program "defer": shows jobs and schedules and controls them, from a
 *		terminal.  This file knows all commands.
 */
#include "core/options.h"
#include "core/report.h"

#include "commands/commands.h"

#ifdef DEFER_DASHBOARD
#include "dashboard/command.h"
#endif

#include <string.h>

static int	cmd_help(int argc, char **argv);

static const Command command_help = {
	"help", "[COMMAND]", "This list, or the help of a command", cmd_help, NULL
};

static const Command *const commands[] = {
	&command_status,
	&command_top,
	&command_jobs,
	&command_job,
	&command_workflow,
	&command_functions,
	&command_queues,
	&command_groups,
	&command_workers,
	&command_schedules,
	&command_cron,
	&command_alter_cron,
	&command_unschedule,
	&command_backfill,
	&command_enqueue,
	&command_trigger,
	&command_cancel,
	&command_errors,
	&command_retry,
	&command_rerun,
	&command_acknowledge,
	&command_reschedule,
	&command_pause,
	&command_resume,
	&command_release,
	&command_configure,
	&command_create_queue,
	&command_alter_queue,
	&command_drop_queue,
	&command_set_group,
	&command_reset_group,
	&command_wait,
	&command_metrics,
#ifdef DEFER_DASHBOARD
	&command_dashboard,
#endif
	&command_help,
	NULL
};

static int
cmd_help(int argc, char **argv)
{
	int			count;

	argv = options_parse(argc, argv, NULL, 0, 1, &count);
	if (count == 0)
		options_help(NULL);
	for (int i = 0; commands[i] != NULL; i++)
	{
		if (strcmp(commands[i]->name, argv[0]) == 0)
			options_help(commands[i]);
	}
	report_usage_error("there is no command \"%s\"", argv[0]);
}

int
main(int argc, char **argv)
{
	const Command *command = options_global(&argc, &argv, commands);
	int			result = command->run(argc, argv);

	report_finish_output();
	return result;
}
