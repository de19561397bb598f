/*
 * begun_file.c
 *		The making of the file of begun jobs (begun_jobs.h), and what it says after a crash.
 *
 * The postmaster makes the file anew at each start, before it has children, and maps
 * it; they inherit the mapping.  It is written once before, so that no store needs a
 * block of a full disk.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "shmem/begun_file.h"

#define BEGUN_FILE_NEW	BEGUN_FILE ".new"
#define BEGUN_MAGIC		0xdefe0001

/* Jobs of before the start that are remembered, for each worker */
#define CRASHED_PER_WORKER	2

char	   *begun_file = NULL;
static Size mapped_size = 0;

static inline Size
file_size(int nworkers, int ncrashed)
{
	return BEGUN_HEADER_SIZE + (Size) (nworkers + ncrashed) * sizeof(BegunJob);
}

/* A name for the time since the machine was started, or "" */
static void
read_boot(char *boot, int size)
{
	int			file = BasicOpenFile("/proc/sys/kernel/random/boot_id", O_RDONLY | PG_BINARY);

	memset(boot, 0, size);
	if (file < 0)
		return;
	if (read(file, boot, size - 1) < 0)
		boot[0] = '\0';
	close(file);
}

/* Read the file of the last start; NULL: there is none, or it is not whole */
static char *
read_file(void)
{
	int			file = BasicOpenFile(BEGUN_FILE, O_RDONLY | PG_BINARY);
	off_t		size;
	char	   *content = NULL;

	if (file < 0)
		return NULL;
	size = lseek(file, 0, SEEK_END);
	if (size >= BEGUN_HEADER_SIZE && size < MaxAllocSize)
		content = malloc(size);
	if (content != NULL)
	{
		const BegunHeader *header = (BegunHeader *) content;

		if (pg_pread(file, content, size, 0) != size || header->magic != BEGUN_MAGIC ||
			header->nworkers < 0 || header->ncrashed < 0 ||
			size != (off_t) file_size(header->nworkers, header->ncrashed))
		{
			free(content);
			content = NULL;
		}
	}
	close(file);
	return content;
}

/* Write the new file and map it; returns NULL on an error, with errno set */
static char *
map_file(const char *content, Size size)
{
	int			file = BasicOpenFile(BEGUN_FILE_NEW, O_RDWR | O_CREAT | O_TRUNC | PG_BINARY);
	char	   *map = NULL;

	if (file < 0)
		return NULL;
	errno = 0;
	if (write(file, content, size) == (ssize_t) size)
		map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	else if (errno == 0)
		errno = ENOSPC;
	if (map == MAP_FAILED)
		map = NULL;
	if (map != NULL && rename(BEGUN_FILE_NEW, BEGUN_FILE) != 0)
	{
		int			save_errno = errno;

		munmap(map, size);
		map = NULL;
		errno = save_errno;
	}
	close(file);
	return map;
}

/* Judge a worker's entry; nsuspects: entries that may be the cause of the crash */
static CrashVerdict
judge(const BegunJob *entry, int nsuspects, bool survived)
{
	if (entry->mark == MARK_STOPPED)
		return CRASH_BYSTANDER;
	if (survived && nsuspects == 1 && entry->mark == MARK_NONE)
		return CRASH_CULPRIT;
	return CRASH_SUSPECT;
}

/*
 * Take over the jobs that had begun when the server crashed, then those of earlier
 * crashes that were not dealt with yet; the oldest may find no room.  survived: the
 * postmaster of then is this one.
 */
static void
take_over(char *content, char *old, bool survived)
{
	const BegunHeader *header = (BegunHeader *) content;
	const BegunHeader *old_header = (BegunHeader *) old;
	const int	nold = old_header->nworkers + old_header->ncrashed;
	int			nsuspects = 0;
	int			n = 0;

	for (int i = 0; i < old_header->nworkers; i++)
	{
		const BegunJob *entry = begun_entry(old, i);

		if (entry->begun == old_header->nonce && entry->mark != MARK_STOPPED)
			nsuspects++;
	}
	for (int i = 0; i < nold && n < header->ncrashed; i++)
	{
		BegunJob	entry = *begun_entry(old, i);

		if (entry.begun != old_header->nonce)
			continue;
		if (i < old_header->nworkers)
			entry.mark = judge(&entry, nsuspects, survived);
		entry.begun = header->nonce;
		*begun_entry(content, header->nworkers + n++) = entry;
	}
}

void
begun_jobs_open(int nworkers, bool own_data)
{
	static uint64 last_nonce = 0;	/* this postmaster's */
	BegunHeader header = {BEGUN_MAGIC, nworkers, CRASHED_PER_WORKER * nworkers};
	char	   *content;
	char	   *old;
	Size		size;

	if (IsUnderPostmaster || !IsPostmasterEnvironment)
		return;
	header.system_identifier = GetSystemIdentifier();
	read_boot(header.boot, sizeof(header.boot));
	size = file_size(header.nworkers, header.ncrashed);
	if (begun_file != NULL)
		munmap(begun_file, mapped_size);
	begun_file = NULL;
	content = calloc(1, size);
	if (content == NULL || !pg_strong_random(&header.nonce, sizeof(header.nonce)) ||
		header.nonce == 0)
	{
		ereport(LOG,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not make file \"%s\"", BEGUN_FILE)));
		free(content);
		return;
	}
	memcpy(content, &header, sizeof(header));
	old = read_file();
	if (old != NULL)
	{
		const BegunHeader *old_header = (BegunHeader *) old;

		if (own_data && old_header->system_identifier == header.system_identifier &&
			memcmp(old_header->boot, header.boot, sizeof(header.boot)) == 0)
			take_over(content, old, last_nonce != 0 && old_header->nonce == last_nonce);
		free(old);
	}
	begun_file = map_file(content, size);
	free(content);
	if (begun_file == NULL)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not make file \"%s\": %m", BEGUN_FILE),
				 errdetail("Claims of jobs are flushed instead, and a job that crashes the server is not recognized."),
				 errhint("Restart the server when this is mended.")));
		(void) unlink(BEGUN_FILE_NEW);
		(void) unlink(BEGUN_FILE);
		return;
	}
	mapped_size = size;
	last_nonce = header.nonce;
}
