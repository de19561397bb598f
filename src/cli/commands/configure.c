/*
 * configure.c
 *		Commands that change settings of functions, queues and groups: configure,
 *		create-queue, alter-queue, drop-queue, set-group, reset-group.
 */
#include "commands/commands.h"

#include "core/report.h"
#include "commands/action.h"
#include "commands/named_call.h"

#define IN_FUNCTION	1U
#define IN_CREATE	2U
#define IN_ALTER	4U
#define IN_QUEUE	(IN_CREATE | IN_ALTER)
#define IN_BOTH		(IN_FUNCTION | IN_QUEUE)
#define IN_GROUP	8U

static const NamedOption settings[] = {
	{IN_FUNCTION, "queue", 'Q', OPTION_TEXT, "queue", "text"},
	{IN_BOTH, "priority", 0, OPTION_NUMBER, "priority", "int4"},
	{IN_BOTH, "max-attempts", 0, OPTION_NUMBER, "max_attempts", "int4"},
	{IN_BOTH, "initial-interval", 0, OPTION_TEXT, "initial_interval", "interval"},
	{IN_BOTH, "multiplier", 0, OPTION_TEXT, "multiplier", "float8"},
	{IN_BOTH, "max-interval", 0, OPTION_TEXT, "max_interval", "interval"},
	{IN_BOTH, "randomization", 0, OPTION_TEXT, "randomization", "float8"},
	{IN_BOTH, "concurrency", 0, OPTION_NUMBER, "concurrency", "int4"},
	{IN_FUNCTION, "at-limit", 0, OPTION_TEXT, "at_limit", "text"},
	{IN_BOTH, "max-duration", 0, OPTION_TEXT, "max_duration", "interval"},
	{IN_BOTH, "discard-after", 0, OPTION_TEXT, "discard_after", "interval"},
	{IN_BOTH, "group-by", 0, OPTION_TEXT, "group_by", "text"},
	{IN_BOTH, "group-concurrency", 0, OPTION_NUMBER, "group_concurrency", "int4"},
	{IN_BOTH, "rate", 0, OPTION_TEXT, "rate", "text"},
	{IN_BOTH, "rate-burst", 0, OPTION_NUMBER, "rate_burst", "int4"},
	{IN_BOTH, "group-rate", 0, OPTION_TEXT, "group_rate", "text"},
	{IN_BOTH, "group-rate-burst", 0, OPTION_NUMBER, "group_rate_burst", "int4"},
	{IN_BOTH, "group-order", 0, OPTION_TEXT, "group_order", "text"},
	{IN_BOTH, "on-group-failure", 0, OPTION_TEXT, "on_group_failure", "text"},
	{IN_BOTH, "max-queued", 0, OPTION_NUMBER, "max_queued", "int4"},
	{IN_BOTH, "group-max-queued", 0, OPTION_NUMBER, "group_max_queued", "int4"},
	{IN_QUEUE, "reserved", 0, OPTION_NUMBER, "reserved", "int4"},
	{IN_FUNCTION | IN_ALTER, "reset", 0, OPTION_FLAG, "reset", "bool"},
	/* "concurrency" of a group may be 'none' */
	{IN_GROUP, "concurrency", 0, OPTION_TEXT, "concurrency", "text"},
	{IN_GROUP, "rate", 0, OPTION_TEXT, "rate", "text"},
	{IN_GROUP, "weight", 0, OPTION_TEXT, "weight", "float8"},
};

#define SETTINGS_HELP \
	"      --priority=N       smaller runs first\n" \
	"      --max-attempts=N   attempts in all\n" \
	"      --initial-interval=TIME, --multiplier=X, --max-interval=TIME, --randomization=X\n" \
	"                         pauses between attempts\n" \
	"      --concurrency=N    jobs at the same time\n" \
	"      --max-duration=TIME  an attempt is stopped then\n" \
	"      --discard-after=TIME  jobs that have not begun by then are discarded\n" \
	"      --rate=RATE, --rate-burst=N  attempts that begin, as 10/minute; none\n" \
	"      --group-by=NAME    the argument that is the group of a job\n" \
	"      --group-concurrency=N, --group-rate=RATE, --group-rate-burst=N\n" \
	"                         the same for each group\n" \
	"      --group-order=ORDER  strict: one job of a group at a time, in the order of ids; none\n" \
	"      --on-group-failure=RULE  of a strict order: skip, hold\n" \
	"      --max-queued=N, --group-max-queued=N\n" \
	"                         unfinished jobs, of all and of each group: one more is an error\n"

#define RESET_HELP \
	"      --reset            settings that are not given become the defaults again\n"

/* Call a function, $1 of which is each name, with the options of a command */
static int
change(int argc, char **argv, unsigned command, const char *function, const Action *kind)
{
	Action		action = *kind;
	NamedCall	call;
	Buffer		sql = {0};
	const char *values[NAMED_VALUES_MAX];
	int			count;
	int			n;

	named_call_init(&call, settings, lengthof(settings), command);
	argv = options_parse(argc, argv, call.options, 1, -1, &count);
	buffer_printf(&sql, "SELECT defer.%s($1", function);
	n = named_call_add(&call, &sql, values, 1);
	if (n == 1 && command != IN_CREATE)
		report_usage_error("which setting is to change?");
	buffer_char(&sql, ')');
	action.sql = sql.data;
	return action_call(&action, count, argv, n, values);
}

static int
cmd_configure(int argc, char **argv)
{
	static const Action action = {.done = "configured", .by_name = true};

	return change(argc, argv, IN_FUNCTION, "configure", &action);
}

const Command command_configure = {
	"configure", "FUNCTION... [settings]", "Change settings of functions", cmd_configure,
	"\nOptions:\n"
	"  -Q, --queue=NAME       their queue\n"
	"      --at-limit=RULE    jobs over the limit: keep, cancel\n"
	SETTINGS_HELP
	RESET_HELP
	"\nExamples:\n"
	"  defer -d shop configure send_invoice --concurrency=3 --max-attempts=5\n"
	"  defer -d shop configure send_invoice --reset\n"
};

static int
cmd_create_queue(int argc, char **argv)
{
	static const Action action = {.done = "made queue"};

	return change(argc, argv, IN_CREATE, "create_queue", &action);
}

const Command command_create_queue = {
	"create-queue", "NAME... [settings]", "Make queues", cmd_create_queue,
	"\nOptions:\n"
	"      --reserved=N       workers that are kept for it\n"
	SETTINGS_HELP
	"\nExamples:\n"
	"  defer -d shop create-queue reports --concurrency=2 --priority=10\n"
};

static int
cmd_alter_queue(int argc, char **argv)
{
	static const Action action = {.done = "changed queue"};

	return change(argc, argv, IN_ALTER, "alter_queue", &action);
}

const Command command_alter_queue = {
	"alter-queue", "NAME... [settings]", "Change settings of queues", cmd_alter_queue,
	"\nOptions:\n"
	"      --reserved=N       workers that are kept for it\n"
	SETTINGS_HELP
	RESET_HELP
	"\nExamples:\n"
	"  defer -d shop alter-queue reports --concurrency=4\n"
};

static int
cmd_drop_queue(int argc, char **argv)
{
	static const Action action = {
		.sql = "SELECT defer.drop_queue($1)", .done = "removed queue",
		.nothing = "queue \"%s\" does not exist"
	};
	const char *values[1];
	int			count;

	argv = options_parse(argc, argv, NULL, 1, -1, &count);
	return action_call(&action, count, argv, 1, values);
}

const Command command_drop_queue = {
	"drop-queue", "NAME...", "Remove queues", cmd_drop_queue,
	"\nExamples:\n"
	"  defer -d shop drop-queue reports\n"
};

/* Whose groups: $2 is the name of a function or a queue */
static const char *of_function;
static const char *of_queue;

/* Call a function, $1 of which is each group, with the options of a command */
static int
change_groups(int argc, char **argv, unsigned command, const char *function, const Action *kind)
{
	Action		action = *kind;
	NamedCall	call;
	Buffer		sql = {0};
	const char *values[NAMED_VALUES_MAX];
	int			count;
	int			n;

	named_call_init(&call, settings, lengthof(settings), command);
	call.options[call.n] = (Option) {"function", 'f', OPTION_TEXT, &of_function};
	call.options[call.n + 1] = (Option) {"queue", 'Q', OPTION_TEXT, &of_queue};
	argv = options_parse(argc, argv, call.options, 1, -1, &count);
	if ((of_function == NULL) == (of_queue == NULL))
		report_usage_error("either --function or --queue is needed");
	values[1] = of_function != NULL ? of_function : of_queue;
	buffer_printf(&sql, "SELECT defer.%s($1, \"%s\" => $2", function, of_function != NULL ? "function" : "queue");
	n = named_call_add(&call, &sql, values, 2);
	if (n == 2 && command == IN_GROUP)
		report_usage_error("which setting is to change?");
	buffer_char(&sql, ')');
	action.sql = sql.data;
	action.by_name = of_function != NULL;
	return action_call(&action, count, argv, n, values);
}

#define GROUP_HELP \
	"\nOptions:\n" \
	"  -f, --function=NAME    the groups are of this function\n" \
	"  -Q, --queue=NAME       ... or of this queue\n"

static int
cmd_set_group(int argc, char **argv)
{
	static const Action action = {.done = "changed group"};

	return change_groups(argc, argv, IN_GROUP, "set_group", &action);
}

const Command command_set_group = {
	"set-group", "KEY... (--function=NAME | --queue=NAME) [settings]", "Change settings of groups",
	cmd_set_group,
	GROUP_HELP
	"      --concurrency=N    jobs at the same time; none\n"
	"      --rate=RATE        attempts that begin, as 10/minute; none\n"
	"      --weight=X         its share of the workers, beside other groups\n"
	"\nExamples:\n"
	"  defer -d shop set-group acme --queue=tenants --concurrency=5 --weight=3\n"
};

static int
cmd_reset_group(int argc, char **argv)
{
	static const Action action = {.done = "reset group", .nothing = "%s: nothing was set for that group"};

	return change_groups(argc, argv, 0, "reset_group", &action);
}

const Command command_reset_group = {
	"reset-group", "KEY... (--function=NAME | --queue=NAME)", "Take back settings of groups",
	cmd_reset_group,
	GROUP_HELP
	"\nExamples:\n"
	"  defer -d shop reset-group acme --queue=tenants\n"
};
