/*
 * clock_shim.c
 *	  A clock that tests can set.
 *
 * Put into the server with LD_PRELOAD.  The time of day is the system's and as
 * many microseconds as the file $CLOCK_SHIM_FILE holds, a binary 64 bit integer.
 * The monotonic clock goes on as ever.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define MILLION 1000000

static volatile int64_t *offset = NULL;

static __attribute__((constructor)) void
open_offset(void)
{
	const char *path = getenv("CLOCK_SHIM_FILE");
	int			fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void	   *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		offset = map;
}

/* Microseconds since 1970 by the clock that was set */
static int64_t
now(void)
{
	static int	(*real) (clockid_t, struct timespec *) = NULL;
	struct timespec t;

	if (!real)
		real = (int (*) (clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
	real(CLOCK_REALTIME, &t);
	return (int64_t) t.tv_sec * MILLION + t.tv_nsec / 1000 + (offset ? *offset : 0);
}

EXPORT int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	int64_t		t = now();

	(void) zone;
	tv->tv_sec = t / MILLION;
	tv->tv_usec = t % MILLION;
	return 0;
}

EXPORT time_t
time(time_t *result)
{
	time_t		t = now() / MILLION;

	if (result)
		*result = t;
	return t;
}
