/*
 * options.c
 *		The command line: psql's connection options, those of all commands, and
 *		those of one.  All of them may stand before or behind the command.
 */
#include "core/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

bool		json_wanted = false;
bool		quiet_wanted = false;

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
	{"json", 0, OPTION_FLAG, &json_wanted},
	{"quiet", 'q', OPTION_FLAG, &quiet_wanted},
	{"color", 0, OPTION_TEXT, &colours},
	{"help", '?', OPTION_FLAG, &help_wanted},
	{"version", 'V', OPTION_FLAG, &version_wanted},
	{NULL}
};

/* "defer: " and a message, made harmless: arguments may be in it */
static void CLI_PRINTF(1, 0)
complain_about(const char *format, va_list args)
{
	Buffer		text = {0};
	Buffer		out = {0};

	buffer_add(&text, "");
	buffer_add(&out, "defer: ");
	buffer_vprintf(&text, format, args);
	text_escape(&out, text.data, TEXT_BLOCK);
	fflush(stdout);
	fprintf(stderr, "%s\n", out.data);
	buffer_free(&text);
	buffer_free(&out);
}

void
complain(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	complain_about(format, args);
	va_end(args);
}

void
usage_error(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	complain_about(format, args);
	va_end(args);
	fprintf(stderr, "Try \"defer %s%s--help\".\n",
			current_command != NULL ? current_command->name : "",
			current_command != NULL ? " " : "");
	exit(CLI_USAGE);
}

/* What was written has arrived, or the exit code says so */
void
finish_output(void)
{
	if (fflush(stdout) != 0 || ferror(stdout))
	{
		fprintf(stderr, "defer: could not write: %s\n", strerror(errno));
		exit(CLI_REFUSED);
	}
}

/* A whole number of 64 bits, such as a job's id, or the program ends */
void
check_number(const char *what, const char *text)
{
	char	   *end;

	errno = 0;
	strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0)
		usage_error("%s must be a whole number, not \"%s\"", what, text);
}

/* "90", "1.5s", "200ms", "2min", "1h", "1d" in seconds */
double
parse_seconds(const char *what, const char *text)
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
	usage_error("%s must be a length of time such as 30s, 5min or 2h, not \"%s\"", what, text);
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
			check_number(option->name, value);
			*(const char **) option->target = value;
			break;
		case OPTION_SECONDS:
			*(double *) option->target = parse_seconds(option->name, value);
			break;
	}
}

/* --- what getopt_long() wants, out of our lists --- */

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
			usage_error("the option %s needs a value", given);
		if (code == '?' && (optopt != 0 || strcmp(given, "-?") != 0))
		{
			if (optopt >= 256)
				usage_error("the option --%s takes no value", parser->options[optopt - 256]->name);
			else if (optopt != 0 && optopt != '?')
				usage_error("there is no option -%c here", optopt);
			else if (strcmp(given, "-?") != 0)
				usage_error("there is no option %s here, or it is not clear which is meant", given);
		}
		set_option(parser_find(parser, code), optarg);
	}
	if (no_password)
		connect_options.password = PASSWORD_NEVER;
	if (ask_password)
		connect_options.password = PASSWORD_ALWAYS;
	if (colours != NULL && strcmp(colours, "auto") != 0 && strcmp(colours, "always") != 0 &&
		strcmp(colours, "never") != 0)
		usage_error("--color is auto, always or never, not \"%s\"", colours);
}

static void
print_command_help(const Command *command)
{
	printf("usage: defer [connection options] %s%s%s\n\n%s.\n%s", command->name,
		   command->arguments[0] != '\0' ? " " : "", command->arguments, command->summary, command->help);
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
	printf("defer shows and steers background jobs and schedules of the extension defer.\n\n"
		   "usage: defer [connection options] COMMAND [options] [arguments]\n\nCommands:\n");
	for (const Command *command = commands; command->name != NULL; command++)
		printf("  %-12s %s\n", command->name, command->summary);
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
		   "4 nothing was to be done; those of wait and status are in their help.\n");
}

static void
answer(const Command *command)
{
	if (version_wanted)
		printf("defer %s\n", DEFER_VERSION);
	else if (command != NULL && command->help != NULL)
		print_command_help(command);
	else
		print_help();
	finish_output();
	exit(CLI_OK);
}

/* The options in front of the command; argv then begins with the command */
void
options_global(int *argc, char ***argv)
{
	Parser		parser = {.letters = "+:"};

	parser_add(&parser, global_options);
	parser_run(&parser, *argc, *argv);
	*argc -= optind;
	*argv += optind;
	terminal_init(colours);
	if (help_wanted || version_wanted)
		answer(NULL);
}

/*
 * The options behind the command, in any order with its arguments, of which
 * there must be least to most (-1: as many as one likes).  argv[0] is the command.
 */
char	  **
options_parse(int argc, char **argv, const Option *options, int least, int most, int *count)
{
	Parser		parser = {.letters = ":"};
	int			n;

	optind = 0;					/* begin anew: a second list */
	parser_add(&parser, global_options);
	if (options != NULL)
		parser_add(&parser, options);
	parser_run(&parser, argc, argv);
	terminal_init(colours);
	if (help_wanted || version_wanted)
		answer(current_command);
	n = argc - optind;
	if (n < least)
		usage_error("an argument is missing: defer %s %s", current_command->name, current_command->arguments);
	if (most >= 0 && n > most)
		usage_error("too many arguments: \"%s\"", argv[optind + most]);
	if (count != NULL)
		*count = n;
	return argv + optind;
}
