/*
 * base.h
 *		What all files of the program "defer" use.
 *
 * The program speaks to the server through libpq only.  Three rules hold in
 * all of it:
 *
 * - Statements are constants; values travel as parameters.
 * - Names in statements are schema-qualified, and connect.c has set the
 *	 search_path to pg_catalog before anything else is sent.
 * - Values from the server pass text.c (or json.c) on their way out, so that
 *	 none can control the terminal.
 *
 * Folders: core (no command knows), commands (one file each), dashboard.  A
 * file includes headers of its own folder and of those before it.
 */
#ifndef CLI_BASE_H
#define CLI_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__) || defined(__clang__)
#define CLI_PRINTF(string, first) __attribute__((format(printf, string, first)))
#define CLI_NORETURN __attribute__((noreturn))
#else
#define CLI_PRINTF(string, first)
#define CLI_NORETURN
#endif

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

/* Exit codes; doc/cli.md and defer.1 document them */
typedef enum CliExit
{
	CLI_OK = 0,
	CLI_REFUSED = 1,			/* the server reported an error */
	CLI_NO_CONNECTION = 2,		/* could not connect, or lost the connection */
	CLI_USAGE = 3,				/* invalid command line */
	CLI_NOTHING_DONE = 4,		/* no such job, or it has ended already, ... */
	CLI_JOB_FAILED = 5,			/* wait: the job failed */
	CLI_JOB_CANCELLED = 6,		/* wait: the job was cancelled */
	CLI_JOB_DISCARDED = 7,		/* wait: the job was discarded */
	CLI_TIMEOUT = 8,			/* wait: the timeout has passed */
	CLI_UNHEALTHY = 9,			/* status --check: a finding is an error */
	CLI_WARNINGS = 10			/* status --check: warnings only */
} CliExit;

#endif							/* CLI_BASE_H */
