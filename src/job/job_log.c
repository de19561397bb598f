/*
 * job_log.c
 *		What a job says: messages of INFO, NOTICE and WARNING, and defer.log().
 *
 * They are kept in memory until the attempt has ended, and written with its
 * end: with the job's own transaction if it succeeds, else after that has been
 * rolled back.  Until then a worker has them in a file, for others to read
 * (shmem/live_log.c).
 *
 * The server calls emit_log_hook only for messages that would go to its log;
 * without a client it does not even make the others.  So a worker's
 * log_min_messages is "info", over whatever its role has set, and the hook
 * decides itself what the log gets: in a job, what defer.log_level says, else
 * what log_min_messages said before.  Only superusers can change that within a
 * job, and then do without its messages.
 *
 * Messages of level log are for the administrator, and are not collected.
 */
#include "postgres.h"

#include "utils/elog.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/guc_job.h"
#include "job/current_job.h"
#include "job/job_log.h"
#include "shmem/live_log.h"
#include "table/history_table.h"

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
static TimestampTz latest = 0;	/* of the messages */
static int	server_level = WARNING; /* log_min_messages as it was */
static emit_log_hook_type prev_emit_log_hook = NULL;

/*
 * Room for a message of that length, appended to the list; NULL: it is dropped.
 * May be called in the middle of ereport(): nothing here throws.
 */
static char *
append_message(int elevel, Size length)
{
	Message    *message = NULL;

	if (!collecting)
		return NULL;
	if (nmessages < MAX_MESSAGES && length <= MAX_BYTES && nbytes <= MAX_BYTES - length)
		message = MemoryContextAllocExtended(context, offsetof(Message, text) + length + 1,
											 MCXT_ALLOC_NO_OOM);
	if (message == NULL)
	{
		ndropped++;
		return NULL;
	}
	message->next = NULL;
	/* no two at the same time, so that their order is kept */
	message->at = latest = Max(GetCurrentTimestamp(), latest + 1);
	message->level = elevel;
	message->text[0] = '\0';
	*last = message;
	last = &message->next;
	nmessages++;
	nbytes += length;
	return message->text;
}

/* Let others read a message that was appended */
static void
show_live(int elevel, const char *text)
{
	if (current_job.job != NULL)
		live_log_add(current_job.job->id, current_job.job->attempt + 1, latest, elevel, text);
}

void
job_log_add(int elevel, const char *message)
{
	Size		length = strlen(message);
	char	   *text = append_message(elevel, length);

	if (text != NULL)
	{
		memcpy(text, message, length + 1);
		show_live(elevel, text);
	}
}

/* With detail and hint, as psql shows it */
static void
add_reported(const ErrorData *edata)
{
	static const char *const labels[] = {"", "\nDETAIL:  ", "\nHINT:  "};
	const char *parts[] = {edata->message, edata->detail, edata->hint};
	Size		length = 0;
	char	   *text;
	char	   *end;

	for (int i = 0; i < lengthof(parts); i++)
	{
		if (parts[i] != NULL)
			length += strlen(labels[i]) + strlen(parts[i]);
	}
	text = end = append_message(edata->elevel, length);
	if (text == NULL)
		return;
	for (int i = 0; i < lengthof(parts); i++)
	{
		if (parts[i] != NULL)
			end += sprintf(end, "%s%s", labels[i], parts[i]);
	}
	show_live(edata->elevel, text);
}

static void
collect_message(ErrorData *edata)
{
	if (edata->elevel == INFO || edata->elevel == NOTICE || edata->elevel == WARNING)
	{
		if (collecting)
			add_reported(edata);
		edata->output_to_server = edata->elevel >= (collecting ? defer_log_level : server_level);
	}
	/* as if we had not asked for more messages than the server's log wants */
	if (edata->output_to_server && prev_emit_log_hook != NULL)
		prev_emit_log_hook(edata);
}

void
job_log_init(void)
{
	server_level = compat_log_min_messages == LOG ? FATAL : compat_log_min_messages;
	if (server_level > INFO)
		SetConfigOption("log_min_messages", "info", PGC_POSTMASTER, PGC_S_OVERRIDE);
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = collect_message;
}

void
job_log_begin(void)
{
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "defer job log", ALLOCSET_SMALL_SIZES);
	job_log_end();
	collecting = true;
}

const char *
job_log_level_name(int level)
{
	return level == WARNING ? "warning" : level == NOTICE ? "notice" : "info";
}

/*
 * Insert what was collected.  It is kept, for the job's commit may fail, and
 * then its failure is written with the same messages.
 */
void
job_log_write(int64 job_id, Oid owner, int32 attempt)
{
	collecting = false;
	for (Message *m = first; m != NULL; m = m->next)
		log_insert(job_id, owner, attempt, m->at, job_log_level_name(m->level), m->text);
	if (ndropped > 0)
		log_insert(job_id, owner, attempt, GetCurrentTimestamp(), "warning",
				   psprintf(ndropped == 1 ? "%d more message was not kept" :
							"%d more messages were not kept", ndropped));
}

void
job_log_end(void)
{
	collecting = false;
	live_log_end();
	if (first != NULL)
		MemoryContextReset(context);
	first = NULL;
	last = &first;
	nmessages = ndropped = 0;
	nbytes = 0;
	latest = 0;
}
