/*
 * transfer.c
 *		Network transfers: see delivery/transfer.h.
 *
 * libcurl tells which sockets it wants to hear of, and when it wants to be
 * called again.  The sockets go into one epoll descriptor, which the process
 * waits for together with its latch.
 *
 * Names are looked up in threads that libcurl makes.  A signal handler of the
 * server must not run in one of them: so all signals are blocked while libcurl
 * may make one, and it inherits that.  A lookup cannot be broken off: a transfer
 * whose time is over leaves its thread behind (before libcurl 7.87 it waits for
 * it, and with it all do).
 */
#include "delivery/transfer.h"

#include "base/guc_delivery.h"
#include "base/timer.h"
#include "base/wait_events.h"
#include "delivery/transfer_threads.h"

#ifndef HAVE_SYS_EPOLL_H
#error "the sender needs epoll: defer runs on Linux"
#endif

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"

/* Connections that are kept open for the next transfer */
#define IDLE_CONNECTIONS	256

/* Sockets that are looked at in one turn */
#define EVENTS_MAX			256
#define TURNS_MAX			8

static CURLM *multi = NULL;
static int	epoll_fd = -1;
static int	wake_fd = -1;		/* in it; delivery/transfer_threads.c's */
static int64 curl_due = -1;		/* microseconds of the monotonic clock; -1: never */
static NetworkList allowed_networks;
static char *certificates = NULL;
#if LIBCURL_VERSION_NUM < 0x075000
static bool configured = false;
static bool rules_changed = false;	/* connections that are kept are not used any more */
#endif

/* ------------------------------------------------------------------------
 * Into libcurl
 * ------------------------------------------------------------------------ */

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
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

static void
restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

static void
curl_turn(curl_socket_t fd, int events)
{
	sigset_t	saved;
	int			running;

	block_signals(&saved);
	(void) curl_multi_socket_action(multi, fd, events, &running);
	restore_signals(&saved);
}

/* ------------------------------------------------------------------------
 * Called by libcurl.  Nothing here may throw an error.
 * ------------------------------------------------------------------------ */

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
	struct epoll_event event = {0};

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
	curl_due = timeout < 0 ? -1 : monotonic_now() + (int64) timeout * 1000;
	return 0;
}

/* A name is to be looked up, in a thread */
static int
on_lookup(void *resolver, void *reserved, void *context)
{
	Transfer   *transfer = context;

	transfer->looking_up = true;
	return 0;
}

/* The address is known, and it is the one that will be used */
static curl_socket_t
on_open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	Transfer   *transfer = context;
	curl_socket_t fd;

	transfer->looking_up = false;
	if (!transfer->trusted && !address_allowed(&address->addr, &transfer->allowed))
	{
		transfer->refused = true;
		address_print(&address->addr, transfer->refused_address,
					  sizeof(transfer->refused_address));
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd >= 0 && transfer->thread != NULL)
		threads_note_socket(transfer, fd);
	return fd;
}

#if LIBCURL_VERSION_NUM >= 0x075000
/*
 * Connected, and nothing sent yet.  A connection that was kept may be from before
 * the administrator changed the rules.
 */
static int
on_connected(void *context, char *address, char *own_address, int port, int own_port)
{
	Transfer   *transfer = context;
	struct sockaddr_storage there = {0};
	bool		known = false;

	if (inet_pton(AF_INET, address, &((struct sockaddr_in *) &there)->sin_addr) == 1)
	{
		there.ss_family = AF_INET;
		known = true;
	}
	else if (inet_pton(AF_INET6, address, &((struct sockaddr_in6 *) &there)->sin6_addr) == 1)
	{
		there.ss_family = AF_INET6;
		known = true;
	}
	if (transfer->trusted ||
		(known && address_allowed((struct sockaddr *) &there, &transfer->allowed)))
		return CURL_PREREQFUNC_OK;
	transfer->refused = true;
	strlcpy(transfer->refused_address, address, sizeof(transfer->refused_address));
	return CURL_PREREQFUNC_ABORT;
}
#endif

/* Keep what there is room for; false: no memory */
static bool
buffer_add(TransferBuffer *buffer, const char *data, size_t length)
{
	if (length > buffer->limit - buffer->length)
	{
		length = buffer->limit - buffer->length;
		buffer->overflow = true;
	}
	if (buffer->length + length + 1 > buffer->room)
	{
		size_t		room = (buffer->length + length + 1) * 2;
		char	   *grown = realloc(buffer->data, room);

		if (grown == NULL)
			return false;
		buffer->data = grown;
		buffer->room = room;
	}
	memcpy(buffer->data + buffer->length, data, length);
	buffer->length += length;
	buffer->data[buffer->length] = '\0';
	return true;
}

/* The body: what is over the limit ends the transfer */
static size_t
on_body(char *data, size_t size, size_t n, void *context)
{
	Transfer   *transfer = context;

	if (!buffer_add(&transfer->body, data, size * n) || transfer->body.overflow)
		return 0;
	return size * n;
}

/*
 * A line of the headers.  An answer begins with its status: the one before, of
 * a redirect or "100 Continue", is forgotten.  Of a mail server's answers the
 * last that says no is kept, too, in the place of the body.
 */
static size_t
on_header(char *data, size_t size, size_t n, void *context)
{
	Transfer   *transfer = context;
	size_t		length = size * n;

	if (transfer->is_mail || (length > 5 && memcmp(data, "HTTP/", 5) == 0))
	{
		transfer->head.length = 0;
		transfer->head.overflow = false;
	}
	if (!buffer_add(&transfer->head, data, length))
		return 0;
	if (transfer->is_mail && (data[0] == '4' || data[0] == '5'))
	{
		transfer->body.length = 0;
		if (!buffer_add(&transfer->body, data, length))
			return 0;
	}
	return length;
}

/* ------------------------------------------------------------------------
 * Transfers
 * ------------------------------------------------------------------------ */

void
transfers_init(void)
{
	struct epoll_event event = {0};
	sigset_t	saved;

	block_signals(&saved);
	if (curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK)
		multi = curl_multi_init();
	restore_signals(&saved);
	if (multi == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not initialize libcurl")));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create an epoll descriptor: %m")));
	ReserveExternalFD();
	event.events = EPOLLIN;
	if (threads_init(&wake_fd))
		event.data.fd = wake_fd;
	if (wake_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &event) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create an event descriptor: %m")));
	ReserveExternalFD();
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) IDLE_CONNECTIONS);
	curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
#if LIBCURL_VERSION_NUM >= 0x081400

	/*
	 * Since 8.20 lookups share a pool of 20 threads, which ten hanging names
	 * fill (one of each has two, for both kinds of addresses).  Before, each
	 * had a thread of its own.
	 */
	curl_multi_setopt(multi, CURLMOPT_RESOLVE_THREADS_MAX, 2L * TRANSFERS_MAX);
	/* and the end of the process does not wait for them */
	curl_multi_setopt(multi, CURLMOPT_QUICK_EXIT, 1L);
#endif
}

void
transfers_configure(const NetworkList *allowed, const char *ca_file)
{
#if LIBCURL_VERSION_NUM < 0x075000
	rules_changed = rules_changed ||
		(configured && memcmp(&allowed_networks, allowed, sizeof(NetworkList)) != 0);
	configured = true;
#endif
	allowed_networks = *allowed;
	free(certificates);
	certificates = ca_file != NULL && ca_file[0] != '\0' ? strdup(ca_file) : NULL;
}

Transfer *
transfer_new(size_t body_limit)
{
	Transfer   *transfer = calloc(1, sizeof(Transfer));
	CURL	   *easy;

	if (transfer == NULL)
		return NULL;
	transfer->easy = easy = curl_easy_init();
	if (easy == NULL)
	{
		free(transfer);
		return NULL;
	}
	transfer->head.limit = HEAD_MAX;
	transfer->body.limit = body_limit;
	transfer->allowed = allowed_networks;
	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* or whoever ends the transfer, libcurl itself at the time-out, waits for the lookup */
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
	curl_easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION, on_lookup);
	curl_easy_setopt(easy, CURLOPT_RESOLVER_START_DATA, transfer);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
#if LIBCURL_VERSION_NUM >= 0x075000
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
#else
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long) rules_changed);
#endif
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	/* nothing of the account that the server runs under, and of its environment */
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (certificates != NULL)
		curl_easy_setopt(easy, CURLOPT_CAINFO, certificates);
	return transfer;
}

/* May run in a thread */
void
transfer_destroy(Transfer *transfer)
{
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->headers);
	curl_slist_free_all(transfer->recipients);
	curl_mime_free(transfer->mime);
	free(transfer->request_body);
	free(transfer->head.data);
	free(transfer->body.data);
	free(transfer);
}

void
transfer_free(Transfer *transfer)
{
	sigset_t	saved;

	if (transfer == NULL)
		return;
	block_signals(&saved);
	if (transfer->is_mail)
		threads_free(transfer);
	else
	{
		if (transfer->running)
			(void) curl_multi_remove_handle(multi, transfer->easy);
		transfer_destroy(transfer);
	}
	restore_signals(&saved);
}

void
transfers_stop(void)
{
	sigset_t	saved;

	block_signals(&saved);
	threads_stop();
	restore_signals(&saved);
}

bool
transfer_start(Transfer *transfer)
{
	sigset_t	saved;
	CURLMcode	code;

	if (transfer->headers != NULL)
		curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
	if (transfer->is_mail)
	{
		block_signals(&saved);
		transfer->running = threads_start(transfer);
		restore_signals(&saved);
		if (!transfer->running)
			strlcpy(transfer->error, "no thread could be made", sizeof(transfer->error));
		return transfer->running;
	}
	block_signals(&saved);
	code = curl_multi_add_handle(multi, transfer->easy);
	restore_signals(&saved);
	if (code != CURLM_OK)
	{
		strlcpy(transfer->error, curl_multi_strerror(code), sizeof(transfer->error));
		return false;
	}
	transfer->running = true;
	return true;
}

bool
transfer_header(Transfer *transfer, const char *line)
{
	struct curl_slist *list = curl_slist_append(transfer->headers, line);

	if (list == NULL)
		return false;
	transfer->headers = list;
	return true;
}

/* ------------------------------------------------------------------------
 * The network
 * ------------------------------------------------------------------------ */

/* What has happened on sockets; returns how many there were */
static int
look_at_sockets(void)
{
	struct epoll_event events[EVENTS_MAX];
	int			n = epoll_wait(epoll_fd, events, EVENTS_MAX, 0);

	for (int i = 0; i < n; i++)
	{
		int			what = 0;

		if (events[i].data.fd == wake_fd)
			continue;			/* transfers_ended() asks */
		if (events[i].events & EPOLLIN)
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		curl_turn(events[i].data.fd, what);
	}
	return n;
}

static void
look_at_timer(void)
{
	if (curl_due < 0 || curl_due > monotonic_now())
		return;
	curl_due = -1;
	curl_turn(CURL_SOCKET_TIMEOUT, 0);
}

void
transfers_wait(long timeout)
{
	int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | WL_SOCKET_READABLE;

	if (curl_due >= 0)
	{
		int64		wait = (curl_due - monotonic_now() + 999) / 1000;

		wait = Max(wait, 0);
		timeout = timeout < 0 ? (long) wait : (long) Min(wait, timeout);
	}
	if (timeout >= 0)
		events |= WL_TIMEOUT;
	(void) WaitLatchOrSocket(MyLatch, events, epoll_fd, timeout, defer_wait_event(DEFER_WAIT_SENDER_MAIN));
	for (int i = 0; i < TURNS_MAX && look_at_sockets() == EVENTS_MAX; i++)
		;
	look_at_timer();
}

Transfer *
transfers_ended(CURLcode *code)
{
	CURLMsg    *message;
	Transfer   *mail;
	int			left;

	mail = threads_ended(code);
	if (mail != NULL)
		return mail;
	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		Transfer   *transfer;

		if (message->msg != CURLMSG_DONE)
			continue;
		*code = message->data.result;
		if (curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer) == CURLE_OK)
			return transfer;
	}
	return NULL;
}

/* ------------------------------------------------------------------------
 * Lookups
 * ------------------------------------------------------------------------ */

bool
transfer_leaves_lookup(const Transfer *transfer, CURLcode code)
{
	return transfer->running && transfer->looking_up && code != CURLE_COULDNT_RESOLVE_HOST;
}

/*
 * The threads of this process that are neither its own one nor those of e-mails.
 * The kernel gives them as links of this folder, besides the two that each has.
 */
int
transfers_lookups(void)
{
	struct stat status;

	if (stat("/proc/self/task", &status) != 0)
		return 0;
	return Max((int) status.st_nlink - 2 - 1 - threads_running(), 0);
}
