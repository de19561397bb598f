/*
 * bulk.h
 *		Commands on all jobs that pass a filter: commands/bulk.c.
 */
#ifndef CLI_BULK_H
#define CLI_BULK_H

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

/* Check whether options say which jobs, and not ids; exits if both do */
extern bool bulk_is_meant(int count);

/*
 * Count the jobs, ask, and deal with them; returns the exit code.  more: up to two
 * values, $16 and $17, for the call.
 */
extern int	bulk_run(const BulkCommand *command, const char *const *more);

#endif							/* CLI_BULK_H */
