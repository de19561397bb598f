/*
 * random.c
 *		splitmix64.
 */
#include "random.h"

static uint64_t state;

void
random_seed(uint64_t seed)
{
	state = seed;
}

uint32_t
random_below(uint32_t n)
{
	uint64_t	z = (state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t) ((z ^ (z >> 31)) >> 32) % n;
}
