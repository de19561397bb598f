/*
 * fair_share.c
 *		See fair_share.h.
 */
#include "pure/fair_share.h"

int
fair_share(int capacity, int used, int held)
{
	int			unused = capacity - used;

	if (unused <= 0)
		return 0;
	if (held == 0 && unused == 1)
		return 1;
	return held >= unused ? 0 : (unused - held) / 2;
}
