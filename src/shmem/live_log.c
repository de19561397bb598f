/*
 * live_log.c
 *		What the job that a worker runs has said so far: a file for each slot of a
 *		worker, pg_stat_tmp/defer.log.SLOT.
 *
 * The messages of a job are rows of defer.log when its attempt is over
 * (job/job_log.c).  Until then they are in this file, so that others can read
 * them.  The first message of an attempt writes the header, each one appends
 * itself, and the end of the attempt cuts the file: a job that says nothing
 * touches no file.  The files are no memory that roles share: a job writes into
 * that of its worker, and no more than job/job_log.c keeps of an attempt.
 *
 * A reader takes what is there if the header names the attempt that the slot
 * runs, before and after it has read: a worker of another role may have the slot
 * by then.  It may see a part of the last message, which it leaves out.  After a
 * crash of the server a file may be left of a job that runs no more; the next one
 * that says something writes over it.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "storage/fd.h"

#include "shmem/live_log.h"

/* Most that is read of a file: what an attempt keeps, and some for the headers */
#define READ_MAX	(2 * 1024 * 1024)

typedef struct LiveHeader
{
	int64		job_id;
	TimestampTz started_at;		/* of the attempt, as in the worker's slot */
	int32		attempt;
	int32		unused;
} LiveHeader;

static int	file = -1;			/* of this worker; open until it exits */
static bool written = false;	/* it has messages of this attempt */

static void
file_name(char *name, int slot)
{
	snprintf(name, MAXPGPATH, "pg_stat_tmp/defer.log.%d", slot);
}

static bool
begin_file(int64 job_id, int32 attempt)
{
	LiveHeader	header = {job_id, 0, attempt, 0};
	int			slot = workers_own_slot(&header.started_at);
	char		name[MAXPGPATH];

	if (slot < 0)
		return false;
	if (file < 0)
	{
		file_name(name, slot);
		file = open(name, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC | PG_BINARY,
					pg_file_create_mode);
	}
	return file >= 0 && ftruncate(file, 0) == 0 &&
		write(file, &header, sizeof(header)) == sizeof(header);
}

void
live_log_add(int64 job_id, int32 attempt, TimestampTz at, int level, const char *text)
{
	LiveMessage message = {at, level, (int32) strlen(text)};
	struct iovec parts[] = {
		{&message, sizeof(message)}, {unconstify(char *, text), message.length}
	};
	int			save_errno = errno;

	if (written || begin_file(job_id, attempt))
	{
		/* what is written in part is followed by nothing */
		written = true;
		if (writev(file, parts, lengthof(parts)) != (ssize_t) (sizeof(message) + message.length))
			live_log_end();
	}
	errno = save_errno;
}

void
live_log_end(void)
{
	if (written && ftruncate(file, 0) != 0)
	{
		close(file);
		file = -1;
	}
	written = false;
}

/* Read the header; false: it is of another attempt */
static bool
read_header(int fd, const RunningJob *job, LiveHeader *header)
{
	return pg_pread(fd, header, sizeof(LiveHeader), 0) == sizeof(LiveHeader) &&
		header->job_id == job->id && header->started_at == job->started_at;
}

char *
live_log_read(const RunningJob *job, int32 *attempt, Size *size)
{
	char		name[MAXPGPATH];
	LiveHeader	header;
	char	   *content = NULL;
	ssize_t		n = 0;
	int			fd;

	file_name(name, job->slot);
	fd = OpenTransientFile(name, O_RDONLY | PG_BINARY);
	if (fd < 0)
		return NULL;
	if (read_header(fd, job, &header))
	{
		content = palloc(READ_MAX);
		n = pg_pread(fd, content, READ_MAX, sizeof(header));
		if (!read_header(fd, job, &header))
			n = 0;
	}
	CloseTransientFile(fd);
	if (content == NULL || n <= 0)
		return NULL;
	*attempt = header.attempt;
	*size = n;
	return content;
}

const char *
live_log_next(const char *content, Size size, Size *at, LiveMessage *message)
{
	const char *text;

	if (size - *at < sizeof(LiveMessage))
		return NULL;
	memcpy(message, content + *at, sizeof(LiveMessage));
	text = content + *at + sizeof(LiveMessage);
	if (message->length < 0 || size - *at - sizeof(LiveMessage) < (Size) message->length)
		return NULL;
	*at += sizeof(LiveMessage) + message->length;
	return text;
}
