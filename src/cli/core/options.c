/*
 * options.c
 *		The command line: psql's connection options, those of all commands, and
 *		those of one.  All of them may stand before or behind the command.
 */
#include "core/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "core/connect.h"
#include "core/report.h"
#include "core/terminal.h"

bool		options_json = false;

static const Command *const *all_commands;
static const Command *current_command = NULL;

static const char *colours = NULL;
static bool help_wanted = false;
static bool version_wanted = false;
static bool no_password = false;
static bool ask_password = false;

static const Option global_options[] = {
	{"host", 'h', OPTION_TEXT, &connect_options.host},
	{"port", 'p', OPTION_TEXT, &connect_options.port},
	{"username", 'U', OPTION_TEXT, &connect_options.user},
	{"dbname", 'd', OPTION_TEXT, &connect_options.dbname},
	{"no-password", 'w', OPTION_FLAG, &no_password},
	{"password", 'W', OPTION_FLAG, &ask_password},
	{"json", 0, OPTION_FLAG, &options_json},
	{"quiet", 'q', OPTION_FLAG, &report_quiet},
	{"color", 0, OPTION_TEXT, &colours},
	{"help", '?', OPTION_FLAG, &help_wanted},
	{"version", 'V', OPTION_FLAG, &version_wanted},
	{NULL}
};

/* End the program unless text is a whole number of 64 bits, such as a job id */
void
options_check_number(const char *what, const char *text)
{
	char	   *end;

	errno = 0;
	strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0)
		report_usage_error("%s must be a whole number, not \"%s\"", what, text);
}

/* Return "90", "1.5s", "200ms", "2min", "1h", "1d" in seconds */
double
options_seconds(const char *what, const char *text)
{
	static const struct
	{
		const char *unit;
		double		seconds;
	}			units[] = {
		{"", 1}, {"ms", 0.001}, {"s", 1}, {"sec", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400},
	};
	char	   *end;
	double		number = strtod(text, &end);

	while (*end == ' ')
		end++;
	for (size_t i = 0; i < lengthof(units) && end != text && number >= 0 && number <= 1e9; i++)
	{
		if (strcmp(end, units[i].unit) == 0)
			return number * units[i].seconds;
	}
	report_usage_error("%s must be a length of time such as 30s, 5min or 2h, not \"%s\"", what, text);
}

static void
set_option(const Option *option, const char *value)
{
	switch (option->kind)
	{
		case OPTION_FLAG:
			*(bool *) option->target = true;
			break;
		case OPTION_TEXT:
			*(const char **) option->target = value;
			break;
		case OPTION_NUMBER:
			options_check_number(option->name, value);
			*(const char **) option->target = value;
			break;
		case OPTION_SECONDS:
			*(double *) option->target = options_seconds(option->name, value);
			break;
	}
}

/* ------------------------------------------------------------------------
 * Our lists, as getopt_long() takes them
 * ------------------------------------------------------------------------ */

typedef struct Parser
{
	const Option *options[64];
	struct option long_options[65];
	char		letters[160];
	int			n;
} Parser;

static void
parser_add(Parser *parser, const Option *options)
{
	for (; options->name != NULL && parser->n < 64; options++)
	{
		struct option *entry = &parser->long_options[parser->n];
		bool		has_value = options->kind != OPTION_FLAG;

		entry->name = options->name;
		entry->has_arg = has_value ? required_argument : no_argument;
		entry->flag = NULL;
		entry->val = 256 + parser->n;
		if (options->letter != 0 && options->letter != '?')
		{
			size_t		len = strlen(parser->letters);

			snprintf(parser->letters + len, sizeof(parser->letters) - len, "%c%s",
					 options->letter, has_value ? ":" : "");
		}
		parser->options[parser->n++] = options;
	}
}

static const Option *
parser_find(const Parser *parser, int code)
{
	if (code >= 256)
		return parser->options[code - 256];
	for (int i = 0; i < parser->n; i++)
	{
		if (parser->options[i]->letter == code)
			return parser->options[i];
	}
	return NULL;
}

static void
parser_run(const Parser *parser, int argc, char **argv)
{
	int			code;

	opterr = 0;
	while ((code = getopt_long(argc, argv, parser->letters, parser->long_options, NULL)) != -1)
	{
		const char *given = argv[optind - 1];

		if (code == ':')
			report_usage_error("the option %s needs a value", given);
		if (code == '?' && (optopt != 0 || strcmp(given, "-?") != 0))
		{
			if (optopt >= 256)
				report_usage_error("the option --%s takes no value", parser->options[optopt - 256]->name);
			else if (optopt != 0 && optopt != '?')
				report_usage_error("there is no option -%c here", optopt);
			else if (strcmp(given, "-?") != 0)
				report_usage_error("there is no option %s here, or the name is ambiguous", given);
		}
		set_option(parser_find(parser, code), optarg);
	}
	if (no_password)
		connect_options.password = PASSWORD_NEVER;
	if (ask_password)
		connect_options.password = PASSWORD_ALWAYS;
	if (colours != NULL && strcmp(colours, "auto") != 0 && strcmp(colours, "always") != 0 &&
		strcmp(colours, "never") != 0)
		report_usage_error("--color is auto, always or never, not \"%s\"", colours);
}

static void
print_command_help(const Command *command)
{
	printf("usage: defer [connection options] %s%s%s\n\n%s.\n%s", command->name,
		   command->arguments[0] != '\0' ? " " : "", command->arguments, command->summary,
		   command->help);
	printf("\nOptions of all commands:\n"
		   "  -h, --host, -p, --port, -U, --username, -d, --dbname, -w, --no-password, -W, --password\n"
		   "                         as for psql; -d takes a URI or a conninfo string, too\n"
		   "      --json             write JSON\n"
		   "  -q, --quiet            write no notices, and nothing where the exit code says it all\n"
		   "      --color=WHEN       auto, always or never\n"
		   "  -?, --help             this\n");
}

static void
print_help(void)
{
	printf("defer shows and controls background jobs and schedules of the extension defer.\n\n"
		   "usage: defer [connection options] COMMAND [options] [arguments]\n\nCommands:\n");
	for (int i = 0; all_commands[i] != NULL; i++)
		printf("  %-12s %s\n", all_commands[i]->name, all_commands[i]->summary);
	printf("\nConnection options, as for psql:\n"
		   "  -h, --host=HOST        server, or folder of its socket\n"
		   "  -p, --port=PORT\n"
		   "  -U, --username=ROLE\n"
		   "  -d, --dbname=DBNAME    database; a URI or a conninfo string, too\n"
		   "  -w, --no-password      never ask for a password\n"
		   "  -W, --password         ask for one before connecting\n"
		   "PGHOST, PGDATABASE and so on, services and .pgpass are read, too.\n"
		   "\nOptions of all commands:\n"
		   "      --json             write JSON\n"
		   "  -q, --quiet            write no notices, and nothing where the exit code says it all\n"
		   "      --color=WHEN       auto (on a terminal, unless NO_COLOR is set), always or never\n"
		   "  -V, --version\n"
		   "  -?, --help             behind a command: its options, and examples\n"
		   "\nExamples:\n"
		   "  defer -d shop status\n"
		   "  defer -d shop jobs --state failed --since 1h\n"
		   "  defer -d shop enqueue send_invoice '{\"invoice_id\": 42}' --wait\n"
		   "  defer enqueue --help\n"
		   "\nExit codes: 0 done, 1 the server reported an error, 2 no connection, 3 wrong usage,\n"
		   "4 there was nothing to do; those of wait and status are in their help.\n");
}

/* Print what --help or --version asks for, and end the program */
static void CLI_NORETURN
answer(const Command *command)
{
	if (version_wanted)
		printf("defer %s\n", DEFER_VERSION);
	else if (command != NULL && command->help != NULL)
		print_command_help(command);
	else
		print_help();
	report_finish_output();
	exit(CLI_OK);
}

/*
 * Parse the options in front of the command, and return the command; argv then
 * begins with it.
 */
const Command *
options_global(int *argc, char ***argv, const Command *const *commands)
{
	Parser		parser = {.letters = "+:"};

	all_commands = commands;
	parser_add(&parser, global_options);
	parser_run(&parser, *argc, *argv);
	*argc -= optind;
	*argv += optind;
	terminal_init(colours);
	if (help_wanted || version_wanted)
		answer(NULL);
	if (*argc == 0)
		report_usage_error("a command is missing");
	for (int i = 0; commands[i] != NULL; i++)
	{
		if (strcmp(commands[i]->name, (*argv)[0]) == 0)
			current_command = commands[i];
	}
	if (current_command == NULL)
		report_usage_error("there is no command \"%s\"", (*argv)[0]);
	report_set_command(current_command->name);
	return current_command;
}

/* Print the help of a command, or the list of all for NULL; end the program */
void
options_help(const Command *command)
{
	help_wanted = true;
	version_wanted = false;
	answer(command);
}

/*
 * Parse the options behind the command, in any order with its arguments, and
 * return the arguments.  argv[0] is the command.  max_arguments -1: no limit.
 */
char **
options_parse(int argc, char **argv, const Option *options, int min_arguments, int max_arguments,
			  int *count)
{
	Parser		parser = {.letters = ":"};
	int			n;

	optind = 0;					/* getopt: begin anew with a second list */
	parser_add(&parser, global_options);
	if (options != NULL)
		parser_add(&parser, options);
	parser_run(&parser, argc, argv);
	terminal_init(colours);
	if (help_wanted || version_wanted)
		answer(current_command);
	n = argc - optind;
	if (n < min_arguments)
		report_usage_error("an argument is missing: defer %s %s", current_command->name,
						   current_command->arguments);
	if (max_arguments >= 0 && n > max_arguments)
		report_usage_error("too many arguments: \"%s\"", argv[optind + max_arguments]);
	if (count != NULL)
		*count = n;
	return argv + optind;
}
