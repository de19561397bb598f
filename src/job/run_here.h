/*
 * run_here.h
 *		Commands that another node of Citus has this one run: job/run_here.c.
 */
#ifndef JOB_RUN_HERE_H
#define JOB_RUN_HERE_H

typedef enum HereKind
{
	HERE_ACTS,					/* it does something with a job */
	HERE_SHOWS,					/* it returns an array, of a job */
	HERE_LISTS					/* it returns an array, and is for all nodes */
} HereKind;

/* Error if there is no command of that name and kind */
extern void run_here_check(const char *command, HereKind kind);

#endif							/* JOB_RUN_HERE_H */
