/*
 * catch_exit.c
 *		Put into the server with LD_PRELOAD when coverage is measured.
 *
 * Counts of gcov are written by exit(); a server that is stopped with "immediate",
 * as the TAP tests do at their end, and one that resets itself after a crash have
 * all processes leave by _exit().  A process that is killed writes nothing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((visibility("default"), noreturn)) void
_exit(int status)
{
	/* the library is loaded with RTLD_GLOBAL; none in a process without it */
	void		(*dump) (void) = (void (*) (void)) dlsym(RTLD_DEFAULT, "defer_coverage_dump");

	if (dump != NULL)
		dump();
	for (;;)
		syscall(SYS_exit_group, status);
}
