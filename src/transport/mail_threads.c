/*
 * mail_threads.c
 *		Transfers that libcurl waits in: e-mails, each in a thread.
 *
 * libcurl's SMTP blocks: it waits for the answer to a message, and to the QUIT
 * of a connection that it closes, without doing anything else.  In the main
 * thread a mail server that does not answer would hold up every delivery, and a
 * stop of the server.  So e-mails have threads, each with its own multi handle
 * of libcurl, and so with connections of its own that it keeps for the next one.
 *
 * A thread touches its transfer, its MailThread and the fields under the lock.
 * It is never killed: to end what it waits for, its sockets are shut down
 * under it.
 */
#include "transport/transfer.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Sockets that one thread has open: libcurl closes the oldest before */
#define SOCKETS_MAX		16
#define CONNECTIONS_MAX 4

/* How often a thread checks for a stop while it has no socket yet (milliseconds) */
#define CHECK_INTERVAL	500

/* How long mail_threads_stop() waits for them (seconds) */
#define STOP_WAIT		2

/*
 * A thread's stack (bytes).  The default is 8 MB, which counts in full where the
 * kernel does not overcommit memory.
 */
#define STACK_SIZE		(1024 * 1024)

/*
 * A socket by its number, and by what the kernel gives to no other one.  libcurl
 * closes some sockets without telling: those that it has not connected yet, when the
 * transfer ends or when another address of the name has answered.  Their numbers are
 * then those of other sockets, of any thread.
 */
typedef struct MailSocket
{
	curl_socket_t fd;
	uint64_t	cookie;
} MailSocket;

struct MailThread
{
	pthread_t	id;
	bool		joined;			/* the main thread's */
	CURLM	   *multi;			/* the thread's */
	int			nsockets;		/* these two: under the lock */
	MailSocket	sockets[SOCKETS_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;

/* All under the lock */
static Transfer *queued = NULL; /* for a thread, the oldest first */
static Transfer **queued_end = &queued;
static int	nqueued = 0;
static Transfer *ended = NULL;	/* for the main thread */
static int	nidle = 0;			/* threads that wait, or are about to go on */
static bool stopping = false;

/* The main thread's */
static MailThread *threads[TRANSPORT_MAILS_MAX];
static int	nthreads = 0;
static int	event_fd = -1;

/* ------------------------------------------------------------------------
 * Sockets
 * ------------------------------------------------------------------------ */

/* Get what identifies the socket that has this number now; 0: none has */
static uint64_t
cookie_of(curl_socket_t fd)
{
	uint64_t	cookie = 0;
	socklen_t	size = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

/*
 * Note a socket that was opened; in the thread, so that none of its own is closed
 * meanwhile: the ones that are no longer there are forgotten.
 */
static void
note_socket(Transfer *transfer, curl_socket_t fd)
{
	MailThread *thread = transfer->thread;
	uint64_t	cookie = cookie_of(fd);

	pthread_mutex_lock(&lock);
	for (int i = thread->nsockets - 1; i >= 0; i--)
	{
		if (cookie_of(thread->sockets[i].fd) != thread->sockets[i].cookie)
			thread->sockets[i] = thread->sockets[--thread->nsockets];
	}
	if (thread->nsockets < SOCKETS_MAX)
		thread->sockets[thread->nsockets++] = (MailSocket) {fd, cookie};
	if (transfer->abort || stopping)
		(void) shutdown(fd, SHUT_RDWR);
	pthread_mutex_unlock(&lock);
}

/* Called by libcurl; connections outlive transfers, so this knows the thread only */
static int
on_close_socket(void *context, curl_socket_t fd)
{
	MailThread *thread = context;

	pthread_mutex_lock(&lock);
	for (int i = thread->nsockets - 1; i >= 0; i--)
	{
		if (thread->sockets[i].fd == fd)
			thread->sockets[i] = thread->sockets[--thread->nsockets];
	}
	pthread_mutex_unlock(&lock);
	return close(fd);
}

/*
 * Give the thread an end of file, whatever it waits for; under the lock.
 *
 * libcurl may close a socket at any time, and another thread open one of that number:
 * a descriptor of our own keeps the socket while it is compared and shut down.  With
 * no descriptor left, the number has to do.
 */
static void
shut_sockets(MailThread *thread)
{
	for (int i = 0; i < thread->nsockets; i++)
	{
		const MailSocket *noted = &thread->sockets[i];
		int			own = fcntl(noted->fd, F_DUPFD_CLOEXEC, 0);
		int			fd = own >= 0 ? own : noted->fd;

		if (cookie_of(fd) == noted->cookie)
			(void) shutdown(fd, SHUT_RDWR);
		if (own >= 0)
			(void) close(own);
	}
}

/* ------------------------------------------------------------------------
 * In a thread
 * ------------------------------------------------------------------------ */

static bool
is_aborted(Transfer *transfer)
{
	bool		aborted;

	pthread_mutex_lock(&lock);
	aborted = transfer->abort || stopping;
	pthread_mutex_unlock(&lock);
	return aborted;
}

/* Make a multi handle without connections; false: no memory */
static bool
make_multi(MailThread *thread)
{
	thread->multi = transfer_create_multi();
	if (thread->multi == NULL)
		return false;
	curl_multi_setopt(thread->multi, CURLMOPT_MAXCONNECTS, (long) CONNECTIONS_MAX);
	return true;
}

/* Run a transfer to its end.  After an error no connection is kept or waited for */
static CURLcode
run(MailThread *thread, Transfer *transfer)
{
	CURLcode	code = CURLE_ABORTED_BY_CALLBACK;
	CURLMsg    *message;
	int			running;
	int			left;

	curl_easy_setopt(transfer->easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
	curl_easy_setopt(transfer->easy, CURLOPT_CLOSESOCKETDATA, thread);
	if (thread->multi == NULL && !make_multi(thread))
		return CURLE_OUT_OF_MEMORY;
	if (curl_multi_add_handle(thread->multi, transfer->easy) != CURLM_OK)
		return CURLE_FAILED_INIT;
	while (!is_aborted(transfer))
	{
		(void) curl_multi_perform(thread->multi, &running);
		message = curl_multi_info_read(thread->multi, &left);
		if (message != NULL && message->msg == CURLMSG_DONE)
		{
			code = message->data.result;
			break;
		}
		(void) curl_multi_poll(thread->multi, NULL, 0, CHECK_INTERVAL, NULL);
	}
	if (code != CURLE_OK)
	{
		pthread_mutex_lock(&lock);
		shut_sockets(thread);
		pthread_mutex_unlock(&lock);
	}
	(void) curl_multi_remove_handle(thread->multi, transfer->easy);
	if (code != CURLE_OK)
	{
		(void) curl_multi_cleanup(thread->multi);
		thread->multi = NULL;
	}
	return code;
}

static void
wake_main_thread(void)
{
	uint64_t	one = 1;

	if (write(event_fd, &one, sizeof(one)) < 0)
		return;					/* the counter is full, so it is readable */
}

/* Take the oldest transfer; under the lock */
static Transfer *
take_queued(MailThread *thread)
{
	Transfer   *transfer = queued;

	queued = transfer->next;
	if (queued == NULL)
		queued_end = &queued;
	nqueued--;
	transfer->state = MAIL_IN_THREAD;
	transfer->thread = thread;
	return transfer;
}

static void *
thread_main(void *argument)
{
	MailThread *thread = argument;

	pthread_mutex_lock(&lock);
	while (!stopping)
	{
		Transfer   *transfer;
		CURLcode	code;

		if (queued == NULL)
		{
			(void) pthread_cond_wait(&work, &lock);
			continue;
		}
		nidle--;
		transfer = take_queued(thread);
		pthread_mutex_unlock(&lock);
		code = run(thread, transfer);
		pthread_mutex_lock(&lock);
		nidle++;
		transfer->thread = NULL;
		if (transfer->orphan)
		{
			pthread_mutex_unlock(&lock);
			transfer_free(transfer);
			pthread_mutex_lock(&lock);
			continue;
		}
		transfer->state = MAIL_ENDED;
		transfer->thread_code = code;
		transfer->next = ended;
		ended = transfer;
		wake_main_thread();
	}
	shut_sockets(thread);
	pthread_mutex_unlock(&lock);
	if (thread->multi != NULL)
		(void) curl_multi_cleanup(thread->multi);
	return NULL;
}

/* ------------------------------------------------------------------------
 * In the main thread.  All signals are blocked while these run, and so in the
 * threads that they make: a signal handler of the server must not run there.
 * ------------------------------------------------------------------------ */

bool
mail_threads_init(int *wake_fd)
{
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	*wake_fd = event_fd;
	return event_fd >= 0;
}

/* Make a thread; it counts as idle from here on.  Under the lock */
static bool
make_thread(void)
{
	MailThread *thread = calloc(1, sizeof(MailThread));
	pthread_attr_t attributes;
	bool		made = false;

	if (thread == NULL)
		return false;
	if (pthread_attr_init(&attributes) == 0)
	{
		(void) pthread_attr_setstacksize(&attributes, STACK_SIZE);
		made = pthread_create(&thread->id, &attributes, thread_main, thread) == 0;
		(void) pthread_attr_destroy(&attributes);
	}
	if (!made)
	{
		free(thread);
		return false;
	}
	threads[nthreads++] = thread;
	nidle++;
	return true;
}

/*
 * Hand a transfer to the threads; one more is made if all of the idle ones
 * have something to do: threads that were woken have not taken it yet.  False:
 * there is no thread at all, and none can be made.
 */
bool
mail_threads_start(Transfer *transfer)
{
	bool		started;

	transfer->opened = note_socket;
	pthread_mutex_lock(&lock);
	started = nqueued < nidle || nthreads == TRANSPORT_MAILS_MAX ||
		make_thread() || nthreads > 0;
	if (started)
	{
		transfer->state = MAIL_QUEUED;
		transfer->next = NULL;
		*queued_end = transfer;
		queued_end = &transfer->next;
		nqueued++;
		pthread_cond_signal(&work);
	}
	pthread_mutex_unlock(&lock);
	return started;
}

/* Take one that has ended; NULL: none, and the descriptor is quiet again */
Transfer *
mail_threads_ended(CURLcode *code)
{
	Transfer   *transfer;
	uint64_t	count;

	pthread_mutex_lock(&lock);
	transfer = ended;
	if (transfer != NULL)
	{
		ended = transfer->next;
		transfer->next = NULL;
		*code = transfer->thread_code;
	}
	else if (read(event_fd, &count, sizeof(count)) < 0)
		count = 0;				/* it was quiet */
	pthread_mutex_unlock(&lock);
	return transfer;
}

/* Take a transfer out of a list, if it is in there; under the lock */
static void
unlink_transfer(Transfer **list, const Transfer *transfer)
{
	for (; *list != NULL; list = &(*list)->next)
	{
		if (*list == transfer)
		{
			*list = transfer->next;
			return;
		}
	}
}

/* Free a transfer, or have its thread do so */
void
mail_threads_destroy(Transfer *transfer)
{
	bool		ours = true;

	pthread_mutex_lock(&lock);
	switch (transfer->state)
	{
		case MAIL_QUEUED:
			unlink_transfer(&queued, transfer);
			nqueued--;
			queued_end = &queued;
			while (*queued_end != NULL)
				queued_end = &(*queued_end)->next;
			break;
		case MAIL_IN_THREAD:
			transfer->abort = transfer->orphan = true;
			shut_sockets(transfer->thread);
			ours = false;
			break;
		case MAIL_ENDED:
			unlink_transfer(&ended, transfer);
			break;
		case MAIL_NEW:
			break;
	}
	pthread_mutex_unlock(&lock);
	if (ours)
		transfer_free(transfer);
}

int
mail_threads_running(void)
{
	return nthreads;
}

/*
 * End all threads.  Returns how many did not end in time: one that is in a
 * library of the system's cannot be stopped.
 */
int
mail_threads_stop(void)
{
	struct timespec until;
	int			left = 0;

	pthread_mutex_lock(&lock);
	stopping = true;
	for (int i = 0; i < nthreads; i++)
		shut_sockets(threads[i]);
	pthread_cond_broadcast(&work);
	pthread_mutex_unlock(&lock);
	(void) clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_WAIT;
	for (int i = 0; i < nthreads; i++)
	{
		if (!threads[i]->joined)
			threads[i]->joined = pthread_timedjoin_np(threads[i]->id, NULL, &until) == 0;
		if (!threads[i]->joined)
			left++;
	}
	return left;
}
