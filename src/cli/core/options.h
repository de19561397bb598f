/*
 * options.h
 *		The command line: connection options, those of all commands, those of
 *		one.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "core/base.h"

typedef enum OptionKind
{
	OPTION_FLAG,				/* bool */
	OPTION_TEXT,				/* const char * */
	OPTION_NUMBER,				/* const char *, a whole number of 64 bits */
	OPTION_SECONDS				/* double; "90", "1.5s", "2min", "1h" */
} OptionKind;

typedef struct Option
{
	const char *name;			/* long name; NULL ends the list */
	char		letter;			/* 0: none */
	OptionKind	kind;
	void	   *target;
} Option;

typedef struct Command
{
	const char *name;
	const char *arguments;		/* what follows the name in the synopsis */
	const char *summary;		/* one line */
	int			(*run) (int argc, char **argv);
	const char *help;			/* options and examples */
} Command;

extern bool options_json;		/* --json */

extern const Command *options_global(int *argc, char ***argv, const Command *const *commands);
extern void options_help(const Command *command) CLI_NORETURN;
extern char **options_parse(int argc, char **argv, const Option *options,
							int min_arguments, int max_arguments, int *count);
extern double options_seconds(const char *what, const char *text);
extern void options_check_number(const char *what, const char *text);

#endif							/* CLI_OPTIONS_H */
