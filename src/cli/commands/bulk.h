/*
 * bulk.h
 *		Commands on all jobs that pass a filter: commands/bulk.c.
 */
#ifndef CLI_BULK_H
#define CLI_BULK_H

#include "commands/action.h"
#include "commands/job_filter.h"

typedef struct BulkCommand
{
	const char *call;			/* the function and its first arguments */
	const char *question;		/* format: how many */
	const char *done;			/* format: how many, of how many */
} BulkCommand;

typedef struct BulkOptions
{
	bool		yes;
	bool		dry_run;
	bool		everything;
} BulkOptions;

extern BulkOptions bulk_options;

#define BULK_OPTIONS \
	{"yes", 'y', OPTION_FLAG, &bulk_options.yes}, \
	{"dry-run", 0, OPTION_FLAG, &bulk_options.dry_run}, \
	{"everything", 0, OPTION_FLAG, &bulk_options.everything}

#define BULK_HELP \
	"      --everything       all that you may manage, if there is no other option\n" \
	"      --dry-run          only say how many they are\n" \
	"  -y, --yes              do not ask\n"

/*
 * Call "each" for the ids that were given, or else "all" for the jobs that options say: count
 * them, ask, and deal with them.  Exits if both were given; returns the exit code.  values has
 * room for the id, and behind it has up to two values, from $2 on for "each", $18 and $19 for
 * "all".
 */
extern int	bulk_or_each(const BulkCommand *all, const Action *each, int count, char **ids,
						 int nvalues, const char **values);

#endif							/* CLI_BULK_H */
