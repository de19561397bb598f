/*
 * control.c
 *		Commands that act on jobs that have not ended, and on schedules, functions and
 *		queues: cancel, reschedule, trigger, pause, resume, release.
 *
 * A name finds the caller's own schedule first.  With --owner the schedule is
 * found by name and owner, and the function is called with its id.
 */
#include "commands/action.h"
#include "commands/bulk.h"
#include "commands/commands.h"

#include <stdlib.h>

#include "core/report.h"

static int
cmd_cancel(int argc, char **argv)
{
	static bool force = false;
	static const Option options[] = {
		{"force", 'f', OPTION_FLAG, &force},
		JOB_FILTER_OPTIONS(0),
		BULK_OPTIONS,
		{NULL}
	};
	static const BulkCommand all = {
		"cancel_jobs(force => $18::pg_catalog.bool, ", "Cancel %lld jobs?", "cancelled %lld of %lld jobs"
	};
	static const Action action = {
		.sql = "SELECT defer.cancel($1::pg_catalog.int8, force => $2::pg_catalog.bool)",
		.done = "cancelled",
		.nothing = "job %s runs or has ended\nHINT:  --force stops one that runs.",
		.ids = true
	};
	const char *values[2];
	int			count;

	argv = options_parse(argc, argv, options, 0, -1, &count);
	values[1] = force ? "true" : "false";
	return bulk_or_each(&all, &action, count, argv, 2, values);
}

const Command command_cancel = {
	"cancel", "ID... | [which]", "Cancel jobs, or all that options select", cmd_cancel,
	"\nOptions:\n"
	"  -f, --force            stop them if they run\n"
	"\nWhich, instead of ids; it says how many they are, and asks:\n"
	JOB_FILTER_HELP("    ")
	BULK_HELP
	"\nExits with 4 if one of them runs (without --force) or has ended, or if there are none.\n"
	"\nExamples:\n"
	"  defer -d shop cancel 17\n"
	"  defer -d shop cancel --force 17 18 19\n"
	"  defer -d shop cancel --function send_invoice --metadata '{\"tenant\": 7}'\n"
};

static int
cmd_reschedule(int argc, char **argv)
{
	static const char *at = NULL;
	static const char *delay = NULL;
	static const Option options[] = {
		{"at", 0, OPTION_TEXT, &at},
		{"delay", 0, OPTION_TEXT, &delay},
		JOB_FILTER_OPTIONS('f'),
		BULK_OPTIONS,
		{NULL}
	};
	static const BulkCommand all = {
		"reschedule_jobs(run_at => COALESCE($18::pg_catalog.timestamptz,"
		" pg_catalog.now() + COALESCE($19::pg_catalog.interval, '0')), ",
		"Move %lld jobs?", "rescheduled %lld of %lld jobs"
	};
	static const Action action = {
		.sql = "SELECT defer.reschedule($1::pg_catalog.int8, COALESCE($2::pg_catalog.timestamptz,"
		" pg_catalog.now() + COALESCE($3::pg_catalog.interval, '0')))",
		.done = "rescheduled",
		.nothing = "job %s runs or has ended",
		.ids = true
	};
	const char *values[3];
	int			count;

	argv = options_parse(argc, argv, options, 0, -1, &count);
	if (at != NULL && delay != NULL)
		report_usage_error("--at and --delay cannot be used together");
	values[1] = at;
	values[2] = delay;
	return bulk_or_each(&all, &action, count, argv, 3, values);
}

const Command command_reschedule = {
	"reschedule", "ID... | [which]", "Let waiting jobs run now, or at another time", cmd_reschedule,
	"\nOptions:\n"
	"      --at=TIME          a timestamptz\n"
	"      --delay=TIME       an interval, from now\n"
	"\nWhich, instead of ids; it says how many they are, and asks:\n"
	JOB_FILTER_HELP("-f, ")
	BULK_HELP
	"\nExits with 4 if one of them runs or has ended.\n"
	"\nExamples:\n"
	"  defer -d shop reschedule 17\n"
	"  defer -d shop reschedule 17 18 --delay '2 hours'\n"
	"  defer -d shop reschedule 17 --at '2026-12-24 18:00 Europe/Berlin'\n"
};

#define NO_SUCH_SCHEDULE "schedule \"%s\" does not exist\nHINT:  defer schedules has those that you may see."

static int
cmd_trigger(int argc, char **argv)
{
	static const Action by_name = {
		.sql = "SELECT defer.trigger($1)",
		.by_name = true, .new_job = true, .of_roles = true
	};
	static const Action by_owner = {
		.sql = "SELECT defer.trigger(s.id)" ACTION_OF_OWNER,
		.nothing = NO_SUCH_SCHEDULE, .new_job = true
	};

	return action_on_schedules(argc, argv, &by_name, &by_owner);
}

const Command command_trigger = {
	"trigger", "[--owner=ROLE] SCHEDULE...", "Run schedules now, and write the ids of the jobs", cmd_trigger,
	"\nOptions:\n"
	"      --owner=ROLE       the schedule of this role, as several can have one of that name\n"
	"\nExamples:\n"
	"  defer -d shop trigger nightly_cleanup\n"
	"  defer -d shop wait $(defer -d shop trigger nightly_cleanup)\n"
};

/* What pause, or resume, calls */
typedef struct PauseActions
{
	Action		function;
	Action		queue;
	Action		schedule;
	Action		owned_schedule; /* with --owner */
	Action		group_of_function;	/* with --group */
	Action		group_of_queue;
	bool		reasons;		/* --reason is the last value of the last four */
} PauseActions;

#define PAUSE_OPTIONS \
	"\nOptions:\n" \
	"  -Q, --queue            the names are of queues, not functions\n" \
	"  -g, --group=KEY        only jobs of this group of them\n" \
	"  -S, --schedule         the names are of schedules\n" \
	"      --owner=ROLE       of schedules of this role, as several can have one of that name\n"

static int
pause_or_resume(int argc, char **argv, const PauseActions *actions)
{
	static bool queues = false;
	static bool schedules = false;
	static const char *group = NULL;
	static const char *owner = NULL;
	static const char *reason = NULL;
	static const Option options[] = {
		{"queue", 'Q', OPTION_FLAG, &queues},
		{"group", 'g', OPTION_TEXT, &group},
		{"schedule", 'S', OPTION_FLAG, &schedules},
		{"owner", 0, OPTION_TEXT, &owner},
		{"reason", 0, OPTION_TEXT, &reason},
		{NULL}
	};
	const Action *action;
	const char *values[3];
	int			nvalues = 1;
	int			count;

	argv = options_parse(argc, argv, options, 1, -1, &count);
	if (queues && schedules)
		report_usage_error("--queue and --schedule cannot be used together");
	if (group != NULL && schedules)
		report_usage_error("--group and --schedule cannot be used together");
	if (owner != NULL && !schedules)
		report_usage_error("--owner goes with --schedule");
	if (reason != NULL && ((!schedules && group == NULL) || !actions->reasons))
		report_usage_error("--reason goes with pause --schedule and pause --group");
	if (schedules)
		action = owner != NULL ? &actions->owned_schedule : &actions->schedule;
	else if (group != NULL)
		action = queues ? &actions->group_of_queue : &actions->group_of_function;
	else
		action = queues ? &actions->queue : &actions->function;
	if (owner != NULL)
		values[nvalues++] = owner;
	if (group != NULL)
		values[nvalues++] = group;
	if (actions->reasons && (schedules || group != NULL))
		values[nvalues++] = reason;
	return action_call(action, count, argv, nvalues, values);
}

static int
cmd_pause(int argc, char **argv)
{
	static const PauseActions actions = {
		.function = {.sql = "SELECT defer.pause($1)", .done = "paused function", .by_name = true},
		.queue = {.sql = "SELECT defer.pause_queue($1)", .done = "paused queue"},
		.schedule = {.sql = "SELECT defer.pause_cron($1, $2)", .done = "paused schedule", .of_roles = true},
		.owned_schedule = {
			.sql = "SELECT defer.pause_cron(s.id, $3)" ACTION_OF_OWNER,
			.done = "paused schedule", .nothing = NO_SUCH_SCHEDULE
		},
		.group_of_function = {
			.sql = "SELECT defer.set_group($2, function => $1, paused => true, reason => $3)",
			.done = "paused the group in function", .by_name = true
		},
		.group_of_queue = {
			.sql = "SELECT defer.set_group($2, queue => $1, paused => true, reason => $3)",
			.done = "paused the group in queue"
		},
		.reasons = true
	};

	return pause_or_resume(argc, argv, &actions);
}

const Command command_pause = {
	"pause", "NAME...", "Hold back jobs of functions, queues, groups, or pause schedules", cmd_pause,
	PAUSE_OPTIONS
	"      --reason=TEXT      why schedules or a group are paused, for others to see\n"
	"\nExamples:\n"
	"  defer -d shop pause send_invoice\n"
	"  defer -d shop pause --queue reports mails\n"
	"  defer -d shop pause --queue tenants --group acme --reason 'invoice not paid'\n"
	"  defer -d shop pause --schedule nightly_cleanup --reason 'the archive is being moved'\n"
};

static int
cmd_resume(int argc, char **argv)
{
	static const PauseActions actions = {
		.function = {.sql = "SELECT defer.resume($1)", .done = "resumed function", .by_name = true},
		.queue = {.sql = "SELECT defer.resume_queue($1)", .done = "resumed queue"},
		.schedule = {.sql = "SELECT defer.resume_cron($1)", .done = "resumed schedule", .of_roles = true},
		.owned_schedule = {
			.sql = "SELECT defer.resume_cron(s.id)" ACTION_OF_OWNER,
			.done = "resumed schedule", .nothing = NO_SUCH_SCHEDULE
		},
		.group_of_function = {
			.sql = "SELECT defer.set_group($2, function => $1, paused => false)",
			.done = "resumed the group in function", .by_name = true
		},
		.group_of_queue = {
			.sql = "SELECT defer.set_group($2, queue => $1, paused => false)",
			.done = "resumed the group in queue"
		}
	};

	return pause_or_resume(argc, argv, &actions);
}

const Command command_resume = {
	"resume", "NAME...", "Undo pause", cmd_resume,
	PAUSE_OPTIONS
	"\nExamples:\n"
	"  defer -d shop resume send_invoice\n"
	"  defer -d shop resume --queue reports\n"
};

static int
cmd_release(int argc, char **argv)
{
	static const Action of_function = {
		.sql = "SELECT defer.release_group($2, function => $1)", .done = "released the group in function",
		.nothing = "%s: the group is not held", .by_name = true
	};
	static const Action of_queue = {
		.sql = "SELECT defer.release_group($2, queue => $1)", .done = "released the group in queue",
		.nothing = "%s: the group is not held"
	};
	static bool queues = false;
	static const char *group = NULL;
	static const Option options[] = {
		{"queue", 'Q', OPTION_FLAG, &queues},
		{"group", 'g', OPTION_TEXT, &group},
		{NULL}
	};
	const char *values[2];
	int			count;

	argv = options_parse(argc, argv, options, 1, -1, &count);
	if (group == NULL)
		report_usage_error("--group is needed");
	values[1] = group;
	return action_call(queues ? &of_queue : &of_function, count, argv, 2, values);
}

const Command command_release = {
	"release", "--group=KEY NAME...", "Let a group go on that a failed job holds", cmd_release,
	"\nOptions:\n"
	"  -Q, --queue            the names are of queues, not functions\n"
	"  -g, --group=KEY        the group of them\n"
	"\nTo have the failed job done first, call rerun before.\n"
	"\nExamples:\n"
	"  defer -d shop release --queue --group 4711 shipments\n"
};
