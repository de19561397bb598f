/*
 * cron.c
 *		Commands that make, change and remove schedules: cron, alter-cron, unschedule.
 */
#include "commands/commands.h"

#include "core/report.h"
#include "commands/action.h"
#include "commands/named_call.h"

#define IN_CRON		1U
#define IN_ALTER	2U
#define IN_ALL		(IN_CRON | IN_ALTER)

static const NamedOption schedule_options[] = {
	{IN_CRON, "name", 0, OPTION_TEXT, "name", "text"},
	{IN_ALTER, "schedule", 0, OPTION_TEXT, "schedule", "text"},
	{IN_ALTER, "function", 'f', OPTION_TEXT, "function", "text"},
	{IN_ALTER, "sql", 0, OPTION_TEXT, "sql", "text"},
	{IN_ALL, "timezone", 'z', OPTION_TEXT, "timezone", "text"},
	{IN_ALL, "overlap", 0, OPTION_TEXT, "overlap", "text"},
	{IN_ALL, "catch-up", 0, OPTION_TEXT, "catch_up", "text"},
	{IN_ALL, "catch-up-window", 0, OPTION_TEXT, "catch_up_window", "interval"},
	{IN_ALL, "jitter", 0, OPTION_TEXT, "jitter", "interval"},
	{IN_ALL, "active", 0, OPTION_TEXT, "active", "bool"},
	{IN_ALL, "queue", 'Q', OPTION_TEXT, "queue", "text"},
	{IN_ALL, "priority", 0, OPTION_NUMBER, "priority", "int4"},
	{IN_ALL, "allow-direct", 0, OPTION_TEXT, "allow_direct", "bool"},
	{IN_ALL, "group", 'g', OPTION_TEXT, "group_key", "text"},
	{IN_ALL, "starts-at", 0, OPTION_TEXT, "starts_at", "timestamptz"},
	{IN_ALL, "ends-at", 0, OPTION_TEXT, "ends_at", "timestamptz"},
	{IN_ALL, "max-runs", 0, OPTION_NUMBER, "max_runs", "int4"},
	{IN_ALL, "pause-after-failures", 0, OPTION_NUMBER, "pause_after_failures", "int4"},
	{IN_ALL, "when-done", 0, OPTION_TEXT, "when_done", "text"},
};

#define SCHEDULE_HELP \
	"  -z, --timezone=ZONE    such as Europe/Paris; the hours are those there (UTC)\n" \
	"      --overlap=RULE     if the last run has not ended: skip, queue, allow, replace\n" \
	"      --catch-up=RULE    ticks missed in down-time: none, one, all\n" \
	"      --catch-up-window=TIME  not those that are older (1 day)\n" \
	"      --jitter=TIME      at most so much later\n" \
	"      --active=BOOL      no: it is paused\n" \
	"  -Q, --queue=NAME       of its jobs\n" \
	"      --priority=N       of its jobs; smaller runs first\n" \
	"      --allow-direct=BOOL  yes: the function may be called and enqueued, too\n" \
	"  -g, --group=KEY        of its jobs\n" \
	"      --starts-at=TIME   it does not fire before\n" \
	"      --ends-at=TIME     nor from then on\n" \
	"      --max-runs=N       it is paused after so many\n" \
	"      --pause-after-failures=N  it is paused when so many runs in a row have failed\n" \
	"      --when-done=FUNCTION  runs after each run and the jobs that it enqueues\n"

static int
cmd_cron(int argc, char **argv)
{
	static bool is_command = false;
	static const Action made = {.by_name = true, .new_job = true};
	Action		action = made;
	NamedCall	call;
	Buffer		sql = {0};
	const char *values[NAMED_VALUES_MAX];
	int			count;
	int			n = 2;

	named_call_init(&call, schedule_options, lengthof(schedule_options), IN_CRON);
	call.options[call.n] = (Option) {"command", 'c', OPTION_FLAG, &is_command};
	argv = options_parse(argc, argv, call.options, 2, 2, &count);
	values[1] = argv[1];
	if (is_command)
	{
		if (named_call_value(&call, "name") == NULL)
			report_usage_error("--command needs --name");
		if (named_call_value(&call, "allow-direct") != NULL)
			report_usage_error("--allow-direct is for functions");
		buffer_add(&sql, "SELECT defer.cron_command(sql => $1, schedule => $2");
	}
	else
		buffer_add(&sql, "SELECT defer.cron($1, $2");
	n = named_call_add(&call, &sql, values, n);
	buffer_char(&sql, ')');
	action.sql = sql.data;
	return action_call(&action, 1, argv, n, values);
}

const Command command_cron = {
	"cron", "FUNCTION|SQL SCHEDULE [options]", "Make a schedule, or make it anew", cmd_cron,
	"\nWrites the id of the schedule; a notice has its next time. An option that is\n"
	"not given has its default, also if there is a schedule of that name already:\n"
	"alter-cron changes single options.\n"
	"\nOptions:\n"
	"      --name=NAME        its name (the function's)\n"
	"  -c, --command          an SQL statement instead of a function; --name is needed\n"
	SCHEDULE_HELP
	"\nExamples:\n"
	"  defer -d shop cron nightly_cleanup '30 3 * * *' --timezone=Europe/Paris\n"
	"  defer -d shop cron --command 'VACUUM ANALYZE invoice' '0 4 * * sun' --name=vacuum\n"
};

static int
cmd_alter_cron(int argc, char **argv)
{
	static const char *owner = NULL;
	static const Action changed = {
		.done = "changed schedule",
		.nothing = "schedule \"%s\" does not exist\nHINT:  defer schedules has those that you may see.",
		.by_name = true, .of_roles = true
	};
	Action		action = changed;
	NamedCall	call;
	Buffer		sql = {0};
	const char *values[NAMED_VALUES_MAX];
	int			count;
	int			first = 1;
	int			n;

	named_call_init(&call, schedule_options, lengthof(schedule_options), IN_ALTER);
	call.options[call.n] = (Option) {"owner", 0, OPTION_TEXT, &owner};
	argv = options_parse(argc, argv, call.options, 1, -1, &count);
	if (owner != NULL)
		values[first++] = owner;
	buffer_add(&sql, owner != NULL ? "SELECT defer.alter_cron(s.id" : "SELECT defer.alter_cron($1");
	n = named_call_add(&call, &sql, values, first);
	if (n == first)
		report_usage_error("which option is to change?");
	buffer_add(&sql, owner != NULL ? ")" ACTION_OF_OWNER : ")");
	action.sql = sql.data;
	return action_call(&action, count, argv, n, values);
}

const Command command_alter_cron = {
	"alter-cron", "NAME... [options]", "Change options of schedules", cmd_alter_cron,
	"\nOptions:\n"
	"      --owner=ROLE       the schedule of this role, as several can have one of that name\n"
	"      --schedule=TEXT    when\n"
	"  -f, --function=NAME    what it runs\n"
	"      --sql=STATEMENT    what it runs, of a schedule with an SQL statement\n"
	SCHEDULE_HELP
	"\nExamples:\n"
	"  defer -d shop alter-cron nightly_cleanup --schedule='0 4 * * *'\n"
	"  defer -d shop alter-cron vacuum reindex --ends-at=2027-01-01\n"
};

static int
cmd_unschedule(int argc, char **argv)
{
	static const Action by_name = {
		.sql = "SELECT defer.unschedule($1)", .done = "removed schedule",
		.nothing = "schedule \"%s\" does not exist", .of_roles = true
	};
	static const Action by_owner = {
		.sql = "SELECT defer.unschedule(s.id)" ACTION_OF_OWNER, .done = "removed schedule",
		.nothing = "schedule \"%s\" does not exist"
	};

	return action_on_schedules(argc, argv, &by_name, &by_owner);
}

const Command command_unschedule = {
	"unschedule", "[--owner=ROLE] NAME...", "Remove schedules", cmd_unschedule,
	"\nWhat it has started goes on.\n"
	"\nOptions:\n"
	"      --owner=ROLE       the schedule of this role, as several can have one of that name\n"
	"\nExamples:\n"
	"  defer -d shop unschedule vacuum\n"
};
