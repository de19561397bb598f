/*
 * fuzz.h
 *		What all fuzz targets have in common.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold, or the program aborts; the target has a "current_text" */
#define must(condition) \
	((condition) ? (void) 0 : \
	 (fprintf(stderr, "%s:%d: failed for \"%s\": %s\n", __FILE__, __LINE__, \
			  current_text, #condition), abort()))

#endif							/* FUZZ_H */
