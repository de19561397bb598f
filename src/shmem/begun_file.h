/*
 * begun_file.h
 *		The layout of the file of begun jobs (begun_jobs.h), for begun_file.c, which makes
 *		it, and begun_jobs.c, which stores to it.
 */
#ifndef DEFER_BEGUN_FILE_H
#define DEFER_BEGUN_FILE_H

#include "postgres.h"

#include "shmem/begun_jobs.h"

#define BEGUN_FILE		"pg_stat_tmp/defer.begun"

/* BegunJob.mark of a worker's entry */
#define MARK_NONE			0
#define MARK_STOPPED		1	/* by SIGQUIT, because of another process */
#define MARK_HELPER_LOST	2	/* likewise; a parallel worker of it is gone */

typedef struct BegunHeader
{
	uint32		magic;
	int32		nworkers;		/* entries of workers; behind them those of
								 * before the start */
	int32		ncrashed;
	int32		unused;
	uint64		system_identifier;
	uint64		nonce;			/* of this start of the server; never 0 */
	char		boot[40];		/* of the machine; empty: unknown */
} BegunHeader;

StaticAssertDecl(sizeof(BegunJob) == 64, "an entry is a cache line");

/* The first entry begins at a cache line */
#define BEGUN_HEADER_SIZE		128

StaticAssertDecl(sizeof(BegunHeader) <= BEGUN_HEADER_SIZE, "the header has room");

/* The mapping, inherited from the postmaster; NULL: there is none */
extern char *begun_file;

/* An entry of a worker's slot; behind these, one of before the start */
static inline BegunJob *
begun_entry(char *file, int index)
{
	return (BegunJob *) (file + BEGUN_HEADER_SIZE) + index;
}

#endif							/* DEFER_BEGUN_FILE_H */
