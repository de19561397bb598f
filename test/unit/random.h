/*
 * random.h
 *		Reproducible random numbers.
 */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

extern void random_seed(uint64_t seed);
extern uint32_t random_below(uint32_t n);	/* 0 to n - 1 */

#endif							/* RANDOM_H */
