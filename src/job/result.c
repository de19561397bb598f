/*
 * result.c
 *		Results of a job's function or procedure, as JSON.
 *
 * The result is what to_jsonb() makes of a function's value; an array of that
 * for a set; an object of a procedure's OUT parameters.  NULL, void and
 * results larger than defer.max_payload are not kept.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "base/guc_job.h"
#include "function/function.h"
#include "job/current_job.h"
#include "job/result.h"

/* ------------------------------------------------------------------------
 * Results
 * ------------------------------------------------------------------------ */

static inline bool
too_large(Size size)
{
	return size > (Size) defer_max_payload * 1024;
}

/* The function of a step fails: the step could not return it later */
static void
warn_not_kept(void)
{
	if (current_job.step != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the result of step \"%s\" is larger than %d kB", current_job.step,
						defer_max_payload),
				 errhint("Keep it in a table, or raise defer.max_payload.")));
	ereport(WARNING,
			(errmsg("the job's result is not kept: it is larger than %d kB", defer_max_payload),
			 errhint("Keep it in a table, or raise defer.max_payload.")));
}

/* A result that is too large is not kept, and the job's log says so */
static Jsonb *
keep_result(Jsonb *result)
{
	if (!too_large(VARSIZE(result)))
		return result;
	warn_not_kept();
	return NULL;
}

/*
 * Check whether making JSON of the value is in vain, or even impossible.
 * Nearly all types are longer as JSON; only JSON itself may be shorter.
 */
static bool
value_too_large(Datum value, Oid type)
{
	return get_typlen(type) == -1 && type != JSONOID && too_large(toast_raw_datum_size(value));
}

Jsonb *
result_of_value(Datum value, Oid type)
{
	if (value_too_large(value, type))
	{
		warn_not_kept();
		return NULL;
	}
	return keep_result(type == JSONBOID ? DatumGetJsonbPCopy(value) :
					   conversion_to_jsonb(value, type));
}

/* ------------------------------------------------------------------------
 * Rows
 * ------------------------------------------------------------------------ */

/* Makes JSON of rows: of each row's only column, or of one whole row */
typedef struct RowReceiver
{
	DestReceiver pub;
	bool		whole;
	MemoryContext context;		/* of the rows that are kept */
	MemoryContext row_context;	/* of one row's conversion */
	TupleDesc	desc;
	List	   *rows;			/* Jsonb, or NULL */
	Size		bytes;
	bool		overflow;		/* too large: nothing is kept */
} RowReceiver;

static Jsonb *
row_to_jsonb(RowReceiver *receiver, TupleTableSlot *slot)
{
	Oid			type = receiver->whole ? RECORDOID : TupleDescAttr(receiver->desc, 0)->atttypid;
	bool		isnull = false;
	Datum		value = receiver->whole ? ExecFetchSlotHeapTupleDatum(slot) :
		slot_getattr(slot, 1, &isnull);

	if (isnull)
		return NULL;
	if (value_too_large(value, type))
	{
		receiver->overflow = true;
		return NULL;
	}
	return conversion_to_jsonb(value, type);
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	RowReceiver *receiver = (RowReceiver *) self;
	MemoryContext old;
	Jsonb	   *row;

	if (receiver->overflow)
		return true;			/* the function runs to its end all the same */
	old = MemoryContextSwitchTo(receiver->row_context);
	row = row_to_jsonb(receiver, slot);
	receiver->bytes += row != NULL ? VARSIZE(row) : sizeof(JEntry);
	if (too_large(receiver->bytes))
		receiver->overflow = true;
	MemoryContextSwitchTo(receiver->context);
	if (!receiver->overflow)
	{
		if (row != NULL)
			row = memcpy(palloc(VARSIZE(row)), row, VARSIZE(row));
		receiver->rows = lappend(receiver->rows, row);
	}
	else
	{
		receiver->rows = NIL;
		MemoryContextReset(receiver->context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(receiver->row_context);
	return true;
}

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	RowReceiver *receiver = (RowReceiver *) self;

	receiver->desc = receiver->whole ? BlessTupleDesc(desc) : desc;
}

static void
receiver_nothing(DestReceiver *self)
{
}

DestReceiver *
result_receiver(bool whole)
{
	RowReceiver *receiver = palloc0(sizeof(RowReceiver));

	receiver->pub.receiveSlot = receive_row;
	receiver->pub.rStartup = receiver_startup;
	receiver->pub.rShutdown = receiver_nothing;
	receiver->pub.rDestroy = receiver_nothing;
	receiver->pub.mydest = DestNone;
	receiver->whole = whole;
	receiver->context = AllocSetContextCreate(CurrentMemoryContext, "defer rows",
											  ALLOCSET_DEFAULT_SIZES);
	receiver->row_context = AllocSetContextCreate(CurrentMemoryContext, "defer row",
												  ALLOCSET_DEFAULT_SIZES);
	return &receiver->pub;
}

static void
push_row(JsonbBuilder *state, Jsonb *row)
{
	JsonbValue	element;

	if (row == NULL)
		element.type = jbvNull;
	else if (!JB_ROOT_IS_SCALAR(row) || !JsonbExtractScalar(&row->root, &element))
	{
		element.type = jbvBinary;
		element.val.binary.data = &row->root;
		element.val.binary.len = VARSIZE(row) - VARHDRSZ;
	}
	(void) jsonb_push(state, WJB_ELEM, &element);
}

Jsonb *
result_of_rows(DestReceiver *self)
{
	RowReceiver *receiver = (RowReceiver *) self;
	JsonbBuilder state = {0};
	ListCell   *cell;

	if (receiver->overflow)
	{
		warn_not_kept();
		return NULL;
	}
	if (receiver->whole)
		return receiver->rows != NIL ? linitial(receiver->rows) : NULL;
	(void) jsonb_push(&state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, receiver->rows)
		push_row(&state, lfirst(cell));
	return keep_result(JsonbValueToJsonb(jsonb_push(&state, WJB_END_ARRAY, NULL)));
}
