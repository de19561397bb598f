/*
 * net_shim.c
 *	  A network of our own for tests of which addresses may be reached.
 *
 * Put into the server with LD_PRELOAD.  It resolves names under ".test", and what
 * goes to the public address 8.8.8.8 arrives at 127.0.0.2; other addresses that are
 * not loopback cannot be reached, so that no test leaves the machine.  Each
 * attempt to connect is a line in the file $NET_SHIM_LOG: "resolve <name>" and
 * "connect <address>", whatever becomes of it; "resolved <name>" for one that hung;
 * "unloaded" when a process runs its exit handlers while a name hangs.
 *
 * Names, and what they resolve to:
 *	  public.test	8.8.8.8
 *	  private.test	127.0.0.1
 *	  rebind.test	8.8.8.8 and 127.0.0.1 in turn, starting with the former
 *	  mixed.test	127.0.0.1 and 8.8.8.8, both at once
 *	  mapped.test	::ffff:127.0.0.1
 *	  six.test		::1
 *	  meta.test		169.254.169.254
 *	  lan.test		10.0.0.1
 * Names under ".hang.test" hang until the file $NET_SHIM_GO is there, and then do not
 * exist.  Nothing else under ".test" exists.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

#define PUBLIC_ADDRESS "8.8.8.8"
#define ARRIVES_AT "127.0.0.2"

static void
note(const char *what, const char *value)
{
	const char *path = getenv("NET_SHIM_LOG");
	char		line[512];
	int			fd;
	int			saved = errno;

	if (path && (fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) >= 0)
	{
		int			length = snprintf(line, sizeof(line), "%s %s\n", what, value);

		if (length < (int) sizeof(line) && write(fd, line, length) < 0)
			perror("net_shim");
		close(fd);
	}
	errno = saved;
}

/* The number addresses of a name under ".test", NULL at the end; false: unknown */
static int
lookup(const char *name, const char *addresses[3])
{
	static int	turn = 0;

	memset(addresses, 0, 3 * sizeof(char *));
	if (strcasecmp(name, "public.test") == 0)
		addresses[0] = PUBLIC_ADDRESS;
	else if (strcasecmp(name, "private.test") == 0)
		addresses[0] = "127.0.0.1";
	else if (strcasecmp(name, "rebind.test") == 0)
		addresses[0] = __atomic_fetch_add(&turn, 1, __ATOMIC_RELAXED) % 2 == 0 ?
			PUBLIC_ADDRESS : "127.0.0.1";
	else if (strcasecmp(name, "mixed.test") == 0)
	{
		addresses[0] = "127.0.0.1";
		addresses[1] = PUBLIC_ADDRESS;
	}
	else if (strcasecmp(name, "mapped.test") == 0)
		addresses[0] = "::ffff:127.0.0.1";
	else if (strcasecmp(name, "six.test") == 0)
		addresses[0] = "::1";
	else if (strcasecmp(name, "meta.test") == 0)
		addresses[0] = "169.254.169.254";
	else if (strcasecmp(name, "lan.test") == 0)
		addresses[0] = "10.0.0.1";
	else
		return 0;
	return 1;
}

/* Threads of this process in hang() */
static int	hanging = 0;

/* A name server that does not answer */
static void
hang(const char *name)
{
	const char *path = getenv("NET_SHIM_GO");
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

	__atomic_fetch_add(&hanging, 1, __ATOMIC_SEQ_CST);
	while (path && access(path, F_OK) != 0)
		nanosleep(&pause, NULL);
	__atomic_fetch_sub(&hanging, 1, __ATOMIC_SEQ_CST);
	note("resolved", name);
}

/* exit() takes away what the threads still use */
static void __attribute__((destructor))
unload(void)
{
	if (__atomic_load_n(&hanging, __ATOMIC_SEQ_CST) > 0)
		note("unloaded", "while a name hangs");
}

EXPORT int
getaddrinfo(const char *node, const char *service,
			const struct addrinfo *hints, struct addrinfo **result)
{
	typedef int (*getaddrinfo_type) (const char *, const char *,
									 const struct addrinfo *, struct addrinfo **);
	static getaddrinfo_type next = NULL;
	const char *addresses[3];
	struct addrinfo numeric = {0};
	struct addrinfo **tail = result;
	size_t		length = node ? strlen(node) : 0;

	if (next == NULL)
		next = (getaddrinfo_type) dlsym(RTLD_NEXT, "getaddrinfo");
	if (length < 5 || strcasecmp(node + length - 5, ".test") != 0)
		return next(node, service, hints, result);
	note("resolve", node);
	if (length > 10 && strcasecmp(node + length - 10, ".hang.test") == 0)
	{
		hang(node);
		return EAI_NONAME;
	}
	if (!lookup(node, addresses))
		return EAI_NONAME;
	if (hints)
		numeric = *hints;
	numeric.ai_flags |= AI_NUMERICHOST;
	numeric.ai_flags &= ~(AI_ADDRCONFIG | AI_CANONNAME);
	*result = NULL;
	for (int i = 0; addresses[i]; i++)
	{
		/* a list that freeaddrinfo() frees one by one, as glibc's does */
		if (next(addresses[i], service, &numeric, tail) != 0)
		{
			*tail = NULL;
			continue;
		}
		while (*tail)
			tail = &(*tail)->ai_next;
	}
	return *result ? 0 : EAI_NONAME;
}

EXPORT int
connect(int fd, const struct sockaddr *address, socklen_t length)
{
	typedef int (*connect_type) (int, const struct sockaddr *, socklen_t);
	static connect_type next = NULL;
	char		text[INET6_ADDRSTRLEN] = "";

	if (next == NULL)
		next = (connect_type) dlsym(RTLD_NEXT, "connect");
	if (address->sa_family == AF_INET)
	{
		struct sockaddr_in four = *(const struct sockaddr_in *) address;

		inet_ntop(AF_INET, &four.sin_addr, text, sizeof(text));
		note("connect", text);
		if (strcmp(text, PUBLIC_ADDRESS) == 0)
		{
			inet_pton(AF_INET, ARRIVES_AT, &four.sin_addr);
			return next(fd, (struct sockaddr *) &four, sizeof(four));
		}
		if ((ntohl(four.sin_addr.s_addr) >> 24) != 127 && four.sin_addr.s_addr != 0)
		{
			errno = ENETUNREACH;
			return -1;
		}
	}
	else if (address->sa_family == AF_INET6)
	{
		const struct sockaddr_in6 *six = (const struct sockaddr_in6 *) address;

		inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof(text));
		note("connect", text);
		if (!IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) && !IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) &&
			!IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr))
		{
			errno = ENETUNREACH;
			return -1;
		}
	}
	return next(fd, address, length);
}

/* The other end is who was asked for */
EXPORT int
getpeername(int fd, struct sockaddr *restrict address, socklen_t *restrict length)
{
	typedef int (*getpeername_type) (int, struct sockaddr *, socklen_t *);
	static getpeername_type next = NULL;
	struct in_addr arrives;
	int			result;

	if (next == NULL)
		next = (getpeername_type) dlsym(RTLD_NEXT, "getpeername");
	result = next(fd, address, length);
	inet_pton(AF_INET, ARRIVES_AT, &arrives);
	if (result == 0 && address->sa_family == AF_INET &&
		((struct sockaddr_in *) address)->sin_addr.s_addr == arrives.s_addr)
		inet_pton(AF_INET, PUBLIC_ADDRESS, &((struct sockaddr_in *) address)->sin_addr);
	return result;
}
