/*
 * rollup.c
 *		How many jobs have ended, hour by hour: so that defer.functions,
 *		defer.queues and defer.health need not read the history, and that the jobs
 *		of a function are found without an index of the history by function.
 *
 * A job is counted in the transaction that deletes its row in defer.job, which
 * is the claim after it has succeeded, and for most others the one that ends
 * it; there it is also counted in its batch (table/fan_out_count.c).  So in each
 * snapshot a job that has ended either is counted or still has its row, with a
 * claim: the view defer.job_counts adds the latter.
 *
 * Workers insert one row for a whole batch into defer.job_rollup_new, which has
 * no index; the scheduler adds these up, into a row of defer.job_rollup for each
 * hour, owner, function and queue.  Both carry the lowest and the highest id
 * of the jobs that they count: see bulk/job_search.c.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/catalog.h"
#include "base/own_transaction.h"
#include "shmem/xact_notify.h"
#include "table/direct_insert.h"
#include "table/fan_out_count.h"
#include "table/history_table.h"
#include "table/job_by_id.h"
#include "table/rollup.h"

/* Columns of defer.job_rollup_new */
enum
{
	NEW_HOUR = 1, NEW_OWNER, NEW_FUNCTIONS, NEW_QUEUES, NEW_STATES, NEW_CLASSES,
	NEW_JOBS, NEW_MICROSECONDS, NEW_FIRST_IDS, NEW_LAST_IDS,
	NEW_NATTS = NEW_LAST_IDS
};

static const char *const rollup_new_columns[] = {
	[NEW_HOUR - 1] = "hour",
	[NEW_OWNER - 1] = "owner",
	[NEW_FUNCTIONS - 1] = "functions",
	[NEW_QUEUES - 1] = "queues",
	[NEW_STATES - 1] = "states",
	[NEW_CLASSES - 1] = "classes",
	[NEW_JOBS - 1] = "jobs",
	[NEW_MICROSECONDS - 1] = "microseconds",
	[NEW_FIRST_IDS - 1] = "first_ids",
	[NEW_LAST_IDS - 1] = "last_ids",
};

/* Jobs that have all of these in common */
typedef struct Entry
{
	TimestampTz hour;
	const text *function;
	const text *queue;
	char		state;
	int16		class;			/* of the duration; -1: never begun */
	uint32		hash;
	int			next;			/* with the same hash; -1: none */
	int32		jobs;
	int64		microseconds;
	int64		first_id;
	int64		last_id;
	bool		written;
} Entry;

/*
 * What a row may have of them: then it needs not be compressed or stored out of
 * line (the table's toast_tuple_target), which costs more than all the rest.
 */
#define ROW_BYTES		7500
#define ENTRY_BYTES		(1 + 2 + 4 + 3 * 8) /* of fixed length */

#define HASH_SIZE		1024	/* a power of two */

static struct
{
	Oid			owner;
	int			n;
	int			most;			/* there is room for */
	int			last;			/* that was added to */
	Entry	   *entries;
	int			heads[HASH_SIZE];	/* valid if below n and of that hash */
}			collected;

/* ------------------------------------------------------------------------
 * Counting
 * ------------------------------------------------------------------------ */

static inline bool
same_text(const text *a, const text *b)
{
	return VARSIZE_ANY(a) == VARSIZE_ANY(b) && memcmp(a, b, VARSIZE_ANY(a)) == 0;
}

static inline bool
belongs(const Entry *entry, const Job *job, char state, int16 class, TimestampTz hour)
{
	return entry->class == class && entry->state == state && entry->hour == hour &&
		same_text(entry->function, job->function) && same_text(entry->queue, job->queue);
}

void
rollup_begin(int most)
{
	collected.n = collected.last = 0;
	collected.most = most;
	collected.entries = palloc(Max(most, 1) * sizeof(Entry));
}

static Entry *
find_entry(const Job *job, char state, int16 class, TimestampTz hour)
{
	uint32		hash;
	int			head;
	Entry	   *entry;

	/* the last one is the likely one */
	if (collected.n > 0 && belongs(&collected.entries[collected.last], job, state, class, hour))
		return &collected.entries[collected.last];
	hash = DatumGetUInt32(hash_any((unsigned char *) VARDATA_ANY(job->function),
								   VARSIZE_ANY_EXHDR(job->function))) + class * 31;
	head = collected.heads[hash % HASH_SIZE];
	if (head >= collected.n || collected.entries[head].hash % HASH_SIZE != hash % HASH_SIZE)
		head = -1;
	for (int i = head; i >= 0; i = collected.entries[i].next)
	{
		if (belongs(&collected.entries[i], job, state, class, hour))
		{
			collected.last = i;
			return &collected.entries[i];
		}
	}
	if (collected.n == collected.most)
		elog(ERROR, "more finished jobs than were told of");
	collected.last = collected.heads[hash % HASH_SIZE] = collected.n;
	entry = &collected.entries[collected.n++];
	*entry = (Entry)
	{
		hour, job->function, job->queue, state, class, hash, head, 0, 0,
			job->id, job->id, false
	};
	return entry;
}

void
rollup_collect(const Job *job, char state, TimestampTz started_at, TimestampTz finished_at)
{
	int64		duration = job_duration(job, started_at, finished_at);
	TimestampTz hour = finished_at - finished_at % USECS_PER_HOUR -
		(finished_at % USECS_PER_HOUR < 0 ? USECS_PER_HOUR : 0);
	Entry	   *entry = find_entry(job, state,
								   duration >= 0 ? duration_class(duration) : -1, hour);

	Assert(collected.n == 1 || collected.owner == job->owner);
	collected.owner = job->owner;
	entry->jobs++;
	entry->microseconds += Max(duration, 0);
	fan_out_ended(job, state);
	entry->first_id = Min(entry->first_id, job->id);
	entry->last_id = Max(entry->last_id, job->id);
}

static Datum
make_array(Datum *elements, int n, Oid type)
{
	switch (type)
	{
		case TEXTOID:
			return PointerGetDatum(construct_array(elements, n, type, -1, false, TYPALIGN_INT));
		case CHAROID:
			return PointerGetDatum(construct_array(elements, n, type, 1, true, TYPALIGN_CHAR));
		case INT2OID:
			return PointerGetDatum(construct_array(elements, n, type, 2, true, TYPALIGN_SHORT));
		case INT4OID:
			return PointerGetDatum(construct_array(elements, n, type, 4, true, TYPALIGN_INT));
		default:
			Assert(type == INT8OID);
			return PointerGetDatum(construct_array(elements, n, type, 8, FLOAT8PASSBYVAL,
												   TYPALIGN_DOUBLE));
	}
}

/* One row: entries from "first" on that are of its hour and fit in; marks them as written */
static void
write_row(int first)
{
	Datum		values[NEW_NATTS];
	bool		nulls[NEW_NATTS] = {0};
	const TimestampTz hour = collected.entries[first].hour;
	Datum	   *columns = palloc(NEW_NATTS * collected.n * sizeof(Datum));
	Size		bytes = 0;
	int			n = 0;

#define COLUMN(att) (columns + ((att) - 1) * collected.n)
	for (int i = first; i < collected.n; i++)
	{
		Entry	   *entry = &collected.entries[i];
		Size		needed = INTALIGN(VARSIZE_ANY(entry->function)) +
			INTALIGN(VARSIZE_ANY(entry->queue)) + ENTRY_BYTES;

		if (entry->written || entry->hour != hour)
			continue;
		if (n > 0 && bytes + needed > ROW_BYTES)
			break;
		bytes += needed;
		entry->written = true;
		COLUMN(NEW_FUNCTIONS)[n] = PointerGetDatum(entry->function);
		COLUMN(NEW_QUEUES)[n] = PointerGetDatum(entry->queue);
		COLUMN(NEW_STATES)[n] = CharGetDatum(entry->state);
		COLUMN(NEW_CLASSES)[n] = Int16GetDatum(entry->class);
		COLUMN(NEW_JOBS)[n] = Int32GetDatum(entry->jobs);
		COLUMN(NEW_MICROSECONDS)[n] = Int64GetDatum(entry->microseconds);
		COLUMN(NEW_FIRST_IDS)[n] = Int64GetDatum(entry->first_id);
		COLUMN(NEW_LAST_IDS)[n] = Int64GetDatum(entry->last_id);
		n++;
	}
	values[NEW_HOUR - 1] = TimestampTzGetDatum(hour);
	values[NEW_OWNER - 1] = ObjectIdGetDatum(collected.owner);
#define ARRAY(att, type) (values[(att) - 1] = make_array(COLUMN(att), n, type))
	ARRAY(NEW_FUNCTIONS, TEXTOID);
	ARRAY(NEW_QUEUES, TEXTOID);
	ARRAY(NEW_STATES, CHAROID);
	ARRAY(NEW_CLASSES, INT2OID);
	ARRAY(NEW_JOBS, INT4OID);
	ARRAY(NEW_MICROSECONDS, INT8OID);
	ARRAY(NEW_FIRST_IDS, INT8OID);
	ARRAY(NEW_LAST_IDS, INT8OID);
#undef ARRAY
#undef COLUMN
	direct_insert(catalog_oid(CAT_ROLLUP_NEW), rollup_new_columns, NEW_NATTS, values, nulls);
}

/* What was collected: mostly one row */
void
rollup_write(void)
{
	if (collected.n == 0)
		return;
	for (int i = 0; i < collected.n; i++)
	{
		if (!collected.entries[i].written)
			write_row(i);
	}
	xact_notify_rollup(collected.n);
	collected.n = 0;
}

void
rollup_add(const Job *job, char state, TimestampTz started_at, TimestampTz finished_at)
{
	rollup_begin(1);
	rollup_collect(job, state, started_at, finished_at);
	rollup_write();
}

bool
rollup_delete_ended(const Job *job, RollupCount count)
{
	HistoryRow	row;

	if (!history_read(job->id, &row))
		return false;
	count(&row.job, row.state, row.started_at, row.finished_at);
	job_delete(job->id);
	return true;
}
