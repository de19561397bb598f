/*
 * conversion.h
 *		A value of JSON as a value of a type.
 */
#ifndef DEFER_CONVERSION_H
#define DEFER_CONVERSION_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/jsonb.h"

/* How values of one parameter are made */
typedef struct Conversion
{
	Oid			base;			/* the type, or what its domain is over */
	Oid			element;		/* of an array, else InvalidOid */
	struct Conversion *of_element;	/* NULL: no array */
	bool		is_domain;
	bool		is_composite;
	bool		is_portable;	/* its text depends on no setting */
	bool		needs_snapshot; /* it may run code of users */
	FmgrInfo	input;			/* of the base type */
	Oid			input_param;
	int32		typmod;
} Conversion;

/* Look up how values of a type are made.  The result is in that context */
extern void conversion_prepare(Conversion *conversion, Oid type, MemoryContext context);

/* Make a value of the type; throws what the type's input function does */
extern Datum conversion_convert(Conversion *conversion, Oid type, JsonbValue *value, bool *isnull);

#endif							/* DEFER_CONVERSION_H */
