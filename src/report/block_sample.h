/*
 * block_sample.h
 *		Rows of some blocks of a table, for report/table_sample.c.
 */
#ifndef DEFER_BLOCK_SAMPLE_H
#define DEFER_BLOCK_SAMPLE_H

#include "postgres.h"

#include "access/htup.h"
#include "datatype/timestamp.h"
#include "storage/block.h"
#include "utils/rel.h"

/* Blocks of one table that are to be sampled */
typedef struct SamplePart
{
	Relation	rel;
	BlockNumber from;
	BlockNumber nblocks;		/* of the table, so up to here */
} SamplePart;

typedef void (*RowCallback) (HeapTuple tuple, TupleDesc desc, double weight, void *arg);

/*
 * Call back with the visible rows of the parts, or of each stride blocks of one,
 * which is chosen by its number.  stride is a power of 2.
 */
extern void block_sample_read(const SamplePart *parts, int nparts, BlockNumber stride,
							  RowCallback callback, void *arg);

/* Find the power of 2 that leaves at most so many blocks */
extern BlockNumber block_sample_stride(uint64 nblocks, int wanted);

/*
 * Open the partitions with jobs that ended since then, each from the block on
 * that matters.  Returns how many there are; *nblocks is all their blocks.
 */
extern int	block_sample_open_history(TimestampTz since, SamplePart **result, uint64 *nblocks);
extern void block_sample_close(SamplePart *parts, int n);

#endif							/* DEFER_BLOCK_SAMPLE_H */
