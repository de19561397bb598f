/*
 * test_fair_share.c
 *		Shares of roles.
 */
#include "harness.h"
#include "pure/fair_share.h"

static void
test_examples(void)
{
	check(fair_share(64, 0, 0) == 32, "half of all for the first: %d", fair_share(64, 0, 0));
	check(fair_share(64, 32, 32) == 0, "and no more: %d", fair_share(64, 32, 32));
	check(fair_share(64, 32, 0) == 16, "half of the rest for the next: %d", fair_share(64, 32, 0));
	check(fair_share(64, 33, 32) == 0, "and less for the first meanwhile");
	check(fair_share(64, 63, 0) == 1, "the last one");
	check(fair_share(64, 63, 1) == 0, "is not for a role that has one");
	check(fair_share(64, 64, 0) == 0, "none is left");
	check(fair_share(64, 70, 0) == 0, "the capacity was lowered");
	check(fair_share(1, 0, 0) == 1, "one in all");
	check(fair_share(0, 0, 0) == 0, "none in all");
}

/* Roles that take all they can, one after the other, and give nothing back */
static void
test_greed(void)
{
	for (int capacity = 1; capacity <= 4096; capacity *= 2)
	{
		int			used = 0;
		int			roles = 0;

		for (int held = 1; held > 0;)
		{
			int			n;

			for (held = 0; (n = fair_share(capacity, used, held)) > 0;)
			{
				held += n;
				used += n;
			}
			roles += held > 0;
			check(held <= capacity - used || held == 1, "of %d a role holds %d and leaves %d", capacity,
				  held, capacity - used);
		}
		check(used == capacity, "of %d there are %d left, and none for a new role", capacity,
			  capacity - used);
		check(1 << (roles - 1) >= capacity, "%d roles use up %d", roles, capacity);
	}
}

void
test_fair_share(void)
{
	test_examples();
	test_greed();
}
