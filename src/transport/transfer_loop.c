/*
 * transfer_loop.c
 *		Transfers of HTTP, many in the main thread: libcurl's multi interface.
 *		And the table of functions that the sender process uses.
 *
 * libcurl tells which sockets it wants to hear of, and when it wants to be
 * called again.  The sockets go into one epoll descriptor, with the one that the
 * threads of the e-mails wake: the process waits for that and its latch.
 *
 * Names are looked up in threads that libcurl makes.  A signal handler of the
 * server must not run in one of them: so all signals are blocked while libcurl
 * may make one, and it inherits that.  A lookup cannot be broken off: a transfer
 * that ends before it leaves the thread behind.
 */
#include "transport/transfer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Connections that are kept open for the next transfer */
#define IDLE_CONNECTIONS	256

/* Sockets that are served by one call of perform() */
#define EVENTS_MAX			256
#define ROUNDS_MAX			8

static CURLM *multi = NULL;
static int	epoll_fd = -1;
static int	wake_fd = -1;		/* in it: mail_threads.c's */
static int64_t timer = -1;		/* libcurl's: microseconds of the clock below;
								 * -1: none */

static int64_t
now(void)
{
	struct timespec time;

	(void) clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t) time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static void
block_signals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGABRT);
	(void) pthread_sigmask(SIG_SETMASK, &all, saved);
}

static void
restore_signals(const sigset_t *saved)
{
	(void) pthread_sigmask(SIG_SETMASK, saved, NULL);
}

/* ------------------------------------------------------------------------
 * Called by libcurl
 * ------------------------------------------------------------------------ */

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
	struct epoll_event event = {0};

	(void) easy;
	(void) context;
	(void) known;
	if (what == CURL_POLL_REMOVE)
	{
		(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.data.fd = fd;
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0 &&
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		return -1;
	return 0;
}

static int
on_timer(CURLM *handle, long timeout, void *context)
{
	(void) handle;
	(void) context;
	timer = timeout < 0 ? -1 : now() + (int64_t) timeout * 1000;
	return 0;
}

/* ------------------------------------------------------------------------
 * The network
 * ------------------------------------------------------------------------ */

static const char *
loop_init(int *wait_fd)
{
	struct epoll_event event = {0};
	sigset_t	saved;
	bool		ready;

	block_signals(&saved);
	ready = curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK &&
		(multi = transfer_create_multi()) != NULL;
	restore_signals(&saved);
	if (!ready)
	{
		errno = ENOMEM;
		return "could not initialize libcurl";
	}
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		return "could not create an epoll descriptor";
	if (!mail_threads_init(&wake_fd))
		return "could not create an event descriptor";
	event.events = EPOLLIN;
	event.data.fd = wake_fd;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &event) != 0)
		return "could not wait for an event descriptor";
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) IDLE_CONNECTIONS);
	curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
	*wait_fd = epoll_fd;
	return NULL;
}

static void
turn(curl_socket_t fd, int events)
{
	sigset_t	saved;
	int			running;

	block_signals(&saved);
	(void) curl_multi_socket_action(multi, fd, events, &running);
	restore_signals(&saved);
}

/* Serve the sockets on which something has happened; returns how many */
static int
serve_sockets(void)
{
	struct epoll_event events[EVENTS_MAX];
	int			n = epoll_wait(epoll_fd, events, EVENTS_MAX, 0);

	for (int i = 0; i < n; i++)
	{
		int			what = 0;

		if (events[i].data.fd == wake_fd)
			continue;			/* loop_ended() asks */
		if (events[i].events & EPOLLIN)
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		turn(events[i].data.fd, what);
	}
	return n;
}

static void
loop_perform(void)
{
	for (int i = 0; i < ROUNDS_MAX && serve_sockets() == EVENTS_MAX; i++)
		;
	if (timer >= 0 && timer <= now())
	{
		timer = -1;
		turn(CURL_SOCKET_TIMEOUT, 0);
	}
}

static long
loop_timeout(void)
{
	int64_t		wait;

	if (timer < 0)
		return -1;
	wait = (timer - now() + 999) / 1000;
	return wait > 0 ? (long) wait : 0;
}

/* ------------------------------------------------------------------------
 * Transfers
 * ------------------------------------------------------------------------ */

static bool
loop_start(Transfer *transfer, int entry)
{
	sigset_t	saved;
	CURLMcode	code = CURLM_OK;

	transfer->entry = entry;
	block_signals(&saved);
	if (transfer->is_mail)
		transfer->started = mail_threads_start(transfer);
	else
	{
		code = curl_multi_add_handle(multi, transfer->easy);
		transfer->started = code == CURLM_OK;
	}
	restore_signals(&saved);
	if (!transfer->started)
	{
		strncpy(transfer->error, transfer->is_mail ? "no thread could be made" :
				curl_multi_strerror(code), sizeof(transfer->error) - 1);
		transfer_classify(transfer, CURLE_FAILED_INIT);
	}
	return transfer->started;
}

static Transfer *
loop_ended(int *entry)
{
	CURLcode	code = CURLE_OK;
	Transfer   *transfer = mail_threads_ended(&code);
	CURLMsg    *message;
	int			left;

	while (transfer == NULL && (message = curl_multi_info_read(multi, &left)) != NULL)
	{
		code = message->data.result;
		if (message->msg != CURLMSG_DONE ||
			curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer) != CURLE_OK)
			transfer = NULL;
	}
	if (transfer == NULL)
		return NULL;
	transfer_classify(transfer, code);
	*entry = transfer->entry;
	return transfer;
}

static void
loop_destroy(Transfer *transfer)
{
	sigset_t	saved;

	block_signals(&saved);
	if (transfer->is_mail)
		mail_threads_destroy(transfer);
	else
	{
		if (transfer->started)
			(void) curl_multi_remove_handle(multi, transfer->easy);
		transfer_free(transfer);
	}
	restore_signals(&saved);
}

/*
 * Count the threads of this process besides its main one.  The kernel shows each
 * thread as a link of this folder, besides the two that every folder has.
 */
static int
other_threads(void)
{
	struct stat status;

	return stat("/proc/self/task", &status) == 0 ? (int) status.st_nlink - 2 - 1 : 0;
}

/* Count the threads that libcurl has made, which look up names */
static int
loop_lookups(void)
{
	int			n = other_threads() - mail_threads_running();

	return n > 0 ? n : 0;
}

static int
loop_stop(void)
{
	sigset_t	saved;
	int			left;

	block_signals(&saved);
	left = mail_threads_stop();
	restore_signals(&saved);
	return left > other_threads() ? left : other_threads();
}

const Transport transport = {
	.init = loop_init,
	.configure = transfers_configure,
	.create = transfer_create,
	.start = loop_start,
	.timeout = loop_timeout,
	.perform = loop_perform,
	.ended = loop_ended,
	.result = transfer_result,
	.leaves_lookup = transfer_leaves_lookup,
	.lookups = loop_lookups,
	.destroy = loop_destroy,
	.stop = loop_stop
};
