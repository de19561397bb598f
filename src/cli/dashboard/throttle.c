/*
 * throttle.c
 *		Failed logins: how many there may be.
 *
 * Failures are counted for a client address together with a role, so that
 * guessing shuts out neither other roles nor the same role elsewhere.  Tokens
 * have no role: the caller compares the token first and asks here only about
 * wrong ones, so that the right one is never refused.
 *
 * Counters live in a table by a keyed hash.  No client can tell which
 * counter another address and role share, and nothing is ever evicted.
 */
#include "dashboard/throttle.h"

#include <pthread.h>
#include <time.h>

#include "core/clock.h"
#include "dashboard/secret.h"

/* Failures of an address and role within a minute, after which none may follow */
#define MAX_FAILURES	10
#define PERIOD			60.0

/* A failure costs time, but only so many threads wait at once */
#define PAUSE_NS		(300 * 1000 * 1000)
#define MAX_PAUSED		8

#define COUNTERS		4096

typedef struct Counter
{
	double		since;			/* clock_seconds() of the first failure */
	int			failures;
} Counter;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Counter counters[COUNTERS];
static int	paused = 0;
static uint64_t key[2];

void
throttle_init(void)
{
	secret_bytes(key, sizeof(key));
}

/* FNV-1a between two secret values */
static uint64_t
hash_string(uint64_t hash, const char *string)
{
	do
	{
		hash ^= (unsigned char) *string;
		hash *= UINT64_C(0x100000001b3);
		hash ^= hash >> 29;
	} while (*string++ != '\0');
	return hash;
}

/* Return the counter of an address and role; under the lock */
static Counter *
find_counter(const char *address, const char *role)
{
	uint64_t	hash = hash_string(hash_string(key[0], address), role) * (key[1] | 1);
	Counter    *counter = &counters[(hash >> 32) % COUNTERS];

	if (clock_seconds() - counter->since >= PERIOD)
		counter->failures = 0;
	return counter;
}

/* Report whether a login may be tried */
bool
throttle_allows(const char *address, const char *role)
{
	bool		allowed;

	pthread_mutex_lock(&lock);
	allowed = find_counter(address, role)->failures < MAX_FAILURES;
	pthread_mutex_unlock(&lock);
	return allowed;
}

/* Count a failed login, and wait a moment */
void
throttle_failed(const char *address, const char *role)
{
	struct timespec pause = {.tv_nsec = PAUSE_NS};
	Counter    *counter;
	bool		wait;

	pthread_mutex_lock(&lock);
	counter = find_counter(address, role);
	if (counter->failures++ == 0)
		counter->since = clock_seconds();
	wait = paused < MAX_PAUSED;
	paused += wait;
	pthread_mutex_unlock(&lock);
	if (!wait)
		return;
	nanosleep(&pause, NULL);
	pthread_mutex_lock(&lock);
	paused--;
	pthread_mutex_unlock(&lock);
}
