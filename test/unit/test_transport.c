/*
 * test_transport.c
 *		src/transport/ against fake_peer.c: a program of its own, which is built with
 *		ThreadSanitizer where the compiler has it.  Its last line is "N passed, N
 *		failed", like that of the other unit tests.
 *
 * Nothing here looks at the clock but to give up after a minute.
 */
#include "fake_peer.h"
#include "transport/transfer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 60
#define ENTRIES		200
#define PAIRS		64

static int	passed;
static int	failed;
static int	wait_fd;
static int	mail_port;
static int	mail_port_v6;
static int	http_port;
static long connect_timeout = 60000;	/* milliseconds */

/* By their entry */
static Transfer *transfers[ENTRIES];
static bool over[ENTRIES];

static void
__attribute__((format(printf, 2, 3)))
check(bool ok, const char *format,...)
{
	va_list		args;

	if (ok)
	{
		passed++;
		return;
	}
	failed++;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

/* Serve the network once, and until that many of the first n have ended; returns how many */
static int
wait_for(int n, int wanted)
{
	time_t		until = time(NULL) + PATIENCE;
	int			count;

	do
	{
		struct pollfd fd = {wait_fd, POLLIN, 0};
		long		timeout = transport.timeout();
		int			entry;

		(void) poll(&fd, 1, wanted == 0 ? 0 : timeout < 0 || timeout > 1000 ? 1000 : (int) timeout);
		transport.perform();
		while (transport.ended(&entry) != NULL)
			over[entry] = true;
		count = 0;
		for (int i = 0; i < n; i++)
			count += over[i];
	} while (count < wanted && time(NULL) < until);
	return count;
}

static void
forget_all(int n)
{
	for (int i = 0; i < n; i++)
	{
		if (transfers[i] != NULL)
			transport.destroy(transfers[i]);
		transfers[i] = NULL;
		over[i] = false;
	}
}

static bool
start_mail_at(int entry, const char *recipient, const char *host, int port)
{
	char		url[100];
	char		bracketed[100];
	const char *recipients[] = {bracketed, NULL};
	const char *headers[] = {"Subject: test", NULL};
	TransferRequest request = {.is_mail = true, .url = url, .headers = headers, .timeout = 600000,
		.connect_timeout = connect_timeout, .body_limit = 1000, .mail_from = "<a@example.org>",
	.recipients = recipients, .text = "hello"};

	snprintf(url, sizeof(url), "smtp://%s:%d", host, port);
	snprintf(bracketed, sizeof(bracketed), "<%s@example.org>", recipient);
	transfers[entry] = transport.create(&request);
	return transfers[entry] != NULL && transport.start(transfers[entry], entry);
}

static bool
start_mail(int entry, const char *recipient)
{
	return start_mail_at(entry, recipient, "127.0.0.1", mail_port);
}

static bool
start_http(int entry, const char *path, size_t limit)
{
	char		url[1200];
	TransferRequest request = {.url = url, .timeout = 600000, .connect_timeout = 60000,
		.body_limit = limit, .method = "GET", .user_agent = "test"};

	snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", http_port, path);
	transfers[entry] = transport.create(&request);
	return transfers[entry] != NULL && transport.start(transfers[entry], entry);
}

/*
 * Listen at a port (0: any) of 127.0.0.1 with a full queue, so that connections to it
 * take for ever.  The descriptors stay open.  Returns the port, or 0.
 */
static int
full_port(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t) port)};
	socklen_t	size = sizeof(address);
	int			fd = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(fd, (struct sockaddr *) &address, size) != 0 || listen(fd, 0) != 0 ||
		getsockname(fd, (struct sockaddr *) &address, &size) != 0)
		return 0;
	for (int i = 0; i < 8; i++)
	{
		fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void) connect(fd, (struct sockaddr *) &address, size);
	}
	return ntohs(address.sin_port);
}

/* Take the numbers that closed sockets have left, as another transfer's sockets would */
static void
take_numbers(int pairs[][2])
{
	for (int i = 0; i < PAIRS; i++)
		check(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]) == 0, "no pair of sockets");
}

/* Check that no one has shut them down meanwhile, and close them */
static void
give_back_numbers(int pairs[][2], const char *when)
{
	for (int i = 0; i < PAIRS; i++)
	{
		char		byte = 'x';

		check(send(pairs[i][0], &byte, 1, MSG_NOSIGNAL) == 1 && recv(pairs[i][1], &byte, 1, 0) == 1 &&
			  send(pairs[i][1], &byte, 1, MSG_NOSIGNAL) == 1 && recv(pairs[i][0], &byte, 1, 0) == 1,
			  "%s a socket that is not its own is shut down", when);
		close(pairs[i][0]);
		close(pairs[i][1]);
	}
}

/*
 * A mail that fails shuts down its own sockets and no other.  libcurl closes some
 * without telling, as those that it has not connected yet, and their numbers are
 * used again.  One thread runs all of these.
 */
static void
test_numbers(void)
{
	int			pairs[PAIRS][2];

	connect_timeout = 300;
	check(start_mail_at(0, "good", "127.0.0.1", full_port(0)) && wait_for(1, 1) == 1,
		  "a mail that cannot connect does not end");
	check(transport.result(transfers[0])->outcome == TRANSFER_TIMED_OUT, "no connection: outcome %d",
		  transport.result(transfers[0])->outcome);
	connect_timeout = 60000;
	forget_all(1);
	take_numbers(pairs);
	check(start_mail(0, "perm") && wait_for(1, 1) == 1, "a mail that is rejected does not end");
	forget_all(1);
	give_back_numbers(pairs, "after a connection that was not made");

	if (mail_port_v6 == 0)
		return;

	/* one address of the name does not answer, the other does */
	check(full_port(mail_port_v6) == mail_port_v6, "no full port");
	check(start_mail_at(0, "good", "localhost", mail_port_v6) && wait_for(1, 1) == 1,
		  "a mail to two addresses does not end");
	check(transport.result(transfers[0])->outcome == TRANSFER_ANSWERED, "two addresses: outcome %d",
		  transport.result(transfers[0])->outcome);
	forget_all(1);
	take_numbers(pairs);
	check(start_mail(0, "perm") && wait_for(1, 1) == 1, "a mail that is rejected does not end");
	forget_all(1);
	give_back_numbers(pairs, "after the second of two addresses");
}

/* One that is answered, and then many of which none is before all are there */
static void
test_burst(void)
{
	const int	n = 20;
	int			count;

	check(start_mail(0, "one"), "a first mail cannot be started");
	check(wait_for(1, 1) == 1, "a first mail does not end");
	check(transport.result(transfers[0])->outcome == TRANSFER_ANSWERED, "a first mail: %s",
		  transport.result(transfers[0])->error);
	forget_all(1);
	for (int i = 0; i < n; i++)
		check(start_mail(i, "meet20"), "mail %d of a burst cannot be started", i);
	count = wait_for(n, n);
	check(count == n, "%d of a burst of %d mails end, as others have no thread", count, n);
	for (int i = 0; i < n; i++)
		check(transport.result(transfers[i])->status == 250, "mail %d of a burst: status %ld", i,
			  transport.result(transfers[i])->status);
	forget_all(n);
}

static void
test_answers(void)
{
	TransferResult *result;

	check(start_mail(0, "perm") && start_mail(1, "drop") && start_mail(2, "good"), "cannot start");
	check(wait_for(3, 3) == 3, "not all mails end");
	result = transport.result(transfers[0]);
	check(result->outcome == TRANSFER_REJECTED && result->status == 550,
		  "rejected: outcome %d, status %ld", result->outcome, result->status);
	check(result->body != NULL && strncmp(result->body, "550 no such user", 16) == 0,
		  "rejected: the answer is \"%s\"", result->body);
	result = transport.result(transfers[1]);
	check(result->outcome == TRANSFER_FAILED && result->error[0] != '\0',
		  "dropped: outcome %d, \"%s\"", result->outcome, result->error);
	check(transport.result(transfers[2])->outcome == TRANSFER_ANSWERED, "good: %s",
		  transport.result(transfers[2])->error);
	forget_all(3);
}

/* More than there are threads, at peers that hang: destroyed in all states */
static void
test_destroy(void)
{
	const int	n = TRANSPORT_MAILS_MAX + 30;

	for (int round = 0; round < 3; round++)
	{
		for (int i = 0; i < n; i++)
			check(start_mail(i, i % 3 == 0 ? "good" : "hang"), "mail %d cannot be started", i);

		/*
		 * the last are still queued: the newest first, so that none of them
		 * begins
		 */
		for (int i = n - 1; i >= 0; i--)
		{
			transport.destroy(transfers[i]);
			transfers[i] = NULL;
		}
		wait_for(n, 0);
		for (int i = 0; i < n; i++)
			over[i] = false;
		check(start_mail(0, "good") && wait_for(1, 1) == 1, "after that none ends");
		forget_all(1);
	}
}

/* Ends and new ones at the same time */
static void
test_traffic(void)
{
	const int	n = 100;

	for (int round = 0; round < 5; round++)
	{
		for (int i = 0; i < n; i++)
		{
			check(start_mail(i, i % 10 == 0 ? "perm" : "good"), "mail %d cannot be started", i);
			if (i % 7 == 0)
				wait_for(i, 0);
		}
		check(wait_for(n, n) == n, "not all mails end");
		for (int i = 0; i < n; i++)
			check(transport.result(transfers[i])->outcome ==
				  (i % 10 == 0 ? TRANSFER_REJECTED : TRANSFER_ANSWERED),
				  "mail %d of round %d: outcome %d, \"%s\"", i, round,
				  transport.result(transfers[i])->outcome, transport.result(transfers[i])->error);
		forget_all(n);
	}
}

static void
test_http(void)
{
	static const struct
	{
		const char *value;
		long		least;
		long		most;
	}			waits[] =
	{
		{"17", 17, 17},
		{"0", 0, 0},
		{"-5", 0, 0},
		{"soon", 0, 0},
		/* some versions of libcurl return six hours at most; an hour is what counts */
		{"Fri,%2031%20Dec%202060%2023:59:59%20GMT", 3600, 2000000000},
		{"Sun,%2006%20Nov%201994%2008:49:37%20GMT", 0, 0},
	};
	TransferResult *result;

	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
	{
		char		path[100];

		snprintf(path, sizeof(path), "/retry/%s", waits[i].value);
		check(start_http(0, path, 100) && wait_for(1, 1) == 1, "%s does not end", path);
		result = transport.result(transfers[0]);
		check(result->outcome == TRANSFER_ANSWERED && result->status == 503, "%s: outcome %d", path,
			  result->outcome);
		check(result->retry_after >= waits[i].least && result->retry_after <= waits[i].most,
			  "%s: %ld seconds", path, result->retry_after);
		forget_all(1);
	}

	check(start_http(0, "/bytes/5000", 5000) && start_http(1, "/bytes/5001", 5000) &&
		  start_http(2, "/lines/4000", 100) && wait_for(3, 3) == 3, "answers do not end");
	result = transport.result(transfers[0]);
	check(result->body_length == 5000 && !result->body_cut, "a body that just fits is cut");
	result = transport.result(transfers[1]);
	check(result->outcome == TRANSFER_ANSWERED && result->body_length == 5000 && result->body_cut,
		  "a body that is too long: %zu bytes, outcome %d", result->body_length, result->outcome);
	result = transport.result(transfers[2]);
	check(result->head_length <= TRANSPORT_HEAD_MAX && result->head_length > TRANSPORT_HEAD_MAX - 100,
		  "of many headers %zu bytes are kept", result->head_length);
	check(result->head[result->head_length - 1] == '\n', "a header is cut");
	forget_all(3);

	/* broken off while it runs */
	check(start_http(0, "/hang", 100), "a request cannot be started");
	wait_for(1, 0);
	forget_all(1);
}

static void
test_rules(void)
{
	NetworkList nothing = {0};
	TransferResult *result;

	check(transport.configure(&nothing, NULL), "cannot be configured");
	check(start_http(0, "/bytes/1", 100) && start_mail(1, "good") && wait_for(2, 2) == 2,
		  "those that are refused do not end");
	for (int i = 0; i < 2; i++)
	{
		result = transport.result(transfers[i]);
		check(result->outcome == TRANSFER_ADDRESS_REFUSED && strcmp(result->address, "127.0.0.1") == 0,
			  "outcome %d, address \"%s\"", result->outcome, result->address);
	}
	forget_all(2);
}

static void *
do_nothing(void *argument)
{
	return argument;
}

/* Count the threads of this process besides this one: ThreadSanitizer makes one with the first */
static int
other_threads(void)
{
	struct stat status;
	pthread_t	thread;

	if (pthread_create(&thread, NULL, do_nothing, NULL) == 0)
		pthread_join(thread, NULL);
	return stat("/proc/self/task", &status) == 0 ? (int) status.st_nlink - 3 : 0;
}

static void
test_own_addresses(void)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr other = {.sa_family = AF_UNIX};

	check(address_is_own((struct sockaddr *) &v4) == 1, "127.0.0.1 is not this machine's");
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &v6.sin6_addr);
	check(address_is_own((struct sockaddr *) &v6) == 1, "127.0.0.1, mapped, is not this machine's");
	v4.sin_addr.s_addr = htonl(0xc0000207);
	check(address_is_own((struct sockaddr *) &v4) == 0, "192.0.2.7 is this machine's");
	check(address_is_own(&other) == -1, "a socket that is not of the Internet");
}

int
main(void)
{
	NetworkList allowed;
	int			threads;
	int			left;
	time_t		until;
	char		problem[100];
	const char *error;

	setvbuf(stdout, NULL, _IOLBF, 0);
	fake_peer_start(&mail_port, &mail_port_v6, &http_port);
	threads = other_threads();
	error = transport.init(&wait_fd);
	check(error == NULL, "%s", error);
	check(networks_parse("127.0.0.0/8, ::1", &allowed, problem, sizeof(problem)) &&
		  transport.configure(&allowed, NULL), "cannot be configured");
	printf("# transport\n");
	test_own_addresses();
	test_numbers();
	test_burst();
	test_answers();
	test_destroy();
	test_traffic();
	test_http();
	test_rules();
	/* some in the midst of it */
	for (int i = 0; i < 10; i++)
		check(start_mail(i, "hang"), "mail %d cannot be started", i);
	wait_for(10, 0);
	until = time(NULL) + PATIENCE;
	/* one that has been joined may still be on its way out */
	while ((left = transport.stop()) > threads && time(NULL) < until)
		(void) poll(NULL, 0, 1);
	check(left <= threads, "%d threads are left", left - threads);
	forget_all(10);
	fake_peer_stop();
	printf("%d passed, %d failed\n", passed, failed);
	return failed > 0;
}
