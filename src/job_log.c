/*
 * job_log.c
 *		What a job says: messages of INFO, NOTICE and WARNING, and defer.log().
 *
 * They are kept in memory until the attempt has ended, and written with its
 * end: with the job's own transaction if it succeeds, else after that has been
 * rolled back.
 *
 * The server calls emit_log_hook only for messages that would go to its log;
 * without a client it does not even make the others.  So a worker's
 * log_min_messages is "info", and the hook decides itself what the log gets:
 * in a job, what defer.log_level says, else what log_min_messages said before.
 */
#include "defer.h"

#include "utils/elog.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Most that is kept of one attempt */
#define MAX_MESSAGES	1000
#define MAX_BYTES		(1024 * 1024)

typedef struct Message
{
	struct Message *next;
	TimestampTz at;
	int			level;
	char		text[FLEXIBLE_ARRAY_MEMBER];
} Message;

static MemoryContext context = NULL;
static bool collecting = false;
static Message *first = NULL;
static Message **last = &first;
static int	nmessages = 0;
static int	ndropped = 0;
static Size nbytes = 0;
static int	server_level = WARNING; /* log_min_messages as it was */
static emit_log_hook_type prev_emit_log_hook = NULL;

/* May be called in the middle of ereport(): nothing here throws */
void
job_log_add(int elevel, const char *message)
{
	Size		length = strlen(message);
	Message    *copy;

	if (!collecting)
		return;
	if (nmessages >= MAX_MESSAGES || nbytes + length > MAX_BYTES)
	{
		ndropped++;
		return;
	}
	copy = MemoryContextAllocExtended(context, offsetof(Message, text) + length + 1,
									  MCXT_ALLOC_NO_OOM);
	if (copy == NULL)
	{
		ndropped++;
		return;
	}
	copy->next = NULL;
	copy->at = GetCurrentTimestamp();
	copy->level = elevel;
	memcpy(copy->text, message, length + 1);
	*last = copy;
	last = &copy->next;
	nmessages++;
	nbytes += length;
}

static void
collect_message(ErrorData *edata)
{
	if (edata->elevel == INFO || edata->elevel == NOTICE || edata->elevel == WARNING)
	{
		if (collecting)
		{
			if (edata->message != NULL)
				job_log_add(edata->elevel, edata->message);
			edata->output_to_server = edata->elevel >= defer_log_level;
		}
		else
			edata->output_to_server = edata->elevel >= server_level;
	}
	if (prev_emit_log_hook != NULL)
		prev_emit_log_hook(edata);
}

void
job_log_init(void)
{
	context = AllocSetContextCreate(TopMemoryContext, "defer job log", ALLOCSET_SMALL_SIZES);
	server_level = log_min_messages;
	if (server_level > INFO || server_level == LOG)
		SetConfigOption("log_min_messages", "info", PGC_POSTMASTER, PGC_S_OVERRIDE);
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = collect_message;
}

void
job_log_begin(void)
{
	job_log_end();
	collecting = true;
}

static const char *
level_name(int level)
{
	return level == WARNING ? "warning" : level == NOTICE ? "notice" : "info";
}

/* Insert what was collected; the attempt may be written again if this fails */
void
job_log_write(int64 job_id, Oid owner, int32 attempt)
{
	for (Message *m = first; m != NULL; m = m->next)
		log_insert(job_id, owner, attempt, m->at, level_name(m->level), m->text);
	if (ndropped > 0)
		log_insert(job_id, owner, attempt, GetCurrentTimestamp(), "warning",
				   psprintf("%d more messages were not kept", ndropped));
}

void
job_log_end(void)
{
	collecting = false;
	if (first != NULL)
		MemoryContextReset(context);
	first = NULL;
	last = &first;
	nmessages = ndropped = 0;
	nbytes = 0;
}
