/*
 * transfer_threads.c
 *		Transfers that libcurl waits in.
 *
 * libcurl's SMTP blocks: it waits for the answer to a message, and to the QUIT
 * of a connection that it closes, without doing anything else.  In the sender
 * itself a mail server that does not answer would hold up every delivery, and a
 * stop of the server.  So e-mails have threads, each with its own libcurl multi
 * handle, and so with connections of its own that it keeps for the next e-mail.
 *
 * A thread touches its transfer, its Thread and what is under the lock; nothing
 * of the server.  It is never killed: to end what it waits for, its sockets are
 * shut down under it.
 */
#include "delivery/transfer_threads.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Most e-mails that are sent at the same time */
#define THREADS_MAX		32

/* Sockets that one thread has open: libcurl closes the oldest before */
#define SOCKETS_MAX		16
#define CONNECTIONS_MAX 4

/* How often a thread looks whether it is to stop while there is no socket yet (milliseconds) */
#define LOOK_AGAIN		500

/* How long the end of the process waits for them (seconds) */
#define STOP_WAIT		2

struct Thread
{
	pthread_t	id;
	bool		joined;
	CURLM	   *multi;
	int			nsockets;		/* under the lock */
	curl_socket_t sockets[SOCKETS_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;

/* All under the lock */
static Transfer *waiting = NULL;
static Transfer **waiting_end = &waiting;
static Transfer *ended = NULL;
static struct Thread *threads[THREADS_MAX];
static int	nthreads = 0;
static int	nidle = 0;
static bool stopping = false;

static int	event_fd = -1;

/* ------------------------------------------------------------------------
 * Sockets
 * ------------------------------------------------------------------------ */

void
threads_note_socket(Transfer *transfer, curl_socket_t fd)
{
	struct Thread *thread = transfer->thread;

	pthread_mutex_lock(&lock);
	if (thread->nsockets < SOCKETS_MAX)
		thread->sockets[thread->nsockets++] = fd;
	if (transfer->abort)
		(void) shutdown(fd, SHUT_RDWR);
	pthread_mutex_unlock(&lock);
}

/* Called by libcurl; connections outlive transfers, so this knows the thread only */
static int
on_close_socket(void *context, curl_socket_t fd)
{
	struct Thread *thread = context;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < thread->nsockets; i++)
	{
		if (thread->sockets[i] == fd)
			thread->sockets[i] = thread->sockets[--thread->nsockets];
	}
	pthread_mutex_unlock(&lock);
	return close(fd);
}

/* Under the lock: whatever the thread waits for, it gets an end of file */
static void
shut_sockets(struct Thread *thread)
{
	for (int i = 0; i < thread->nsockets; i++)
		(void) shutdown(thread->sockets[i], SHUT_RDWR);
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

/* A multi handle without connections; false: no memory */
static bool
make_multi(struct Thread *thread)
{
	thread->multi = curl_multi_init();
	if (thread->multi == NULL)
		return false;
	curl_multi_setopt(thread->multi, CURLMOPT_MAXCONNECTS, (long) CONNECTIONS_MAX);
	return true;
}

/*
 * A connection in the middle of a dialogue must not be kept, nor waited for: so
 * none is.
 */
static void
drop_connections(struct Thread *thread)
{
	(void) curl_multi_cleanup(thread->multi);
	(void) make_multi(thread);
}

static CURLcode
run(struct Thread *thread, Transfer *transfer)
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
		(void) curl_multi_poll(thread->multi, NULL, 0, LOOK_AGAIN, NULL);
	}
	if (code != CURLE_OK)
	{
		pthread_mutex_lock(&lock);
		shut_sockets(thread);
		pthread_mutex_unlock(&lock);
	}
	(void) curl_multi_remove_handle(thread->multi, transfer->easy);
	if (code != CURLE_OK)
		drop_connections(thread);
	return code;
}

static void
tell_sender(void)
{
	uint64		one = 1;

	if (write(event_fd, &one, sizeof(one)) < 0)
		return;					/* it is full: then it is known */
}

static void *
thread_main(void *argument)
{
	struct Thread *thread = argument;

	pthread_mutex_lock(&lock);
	while (!stopping)
	{
		Transfer   *transfer = waiting;
		CURLcode	code;

		if (transfer == NULL)
		{
			nidle++;
			pthread_cond_wait(&work, &lock);
			nidle--;
			continue;
		}
		waiting = transfer->next;
		if (waiting == NULL)
			waiting_end = &waiting;
		transfer->state = IN_THREAD;
		transfer->thread = thread;
		pthread_mutex_unlock(&lock);
		code = run(thread, transfer);
		pthread_mutex_lock(&lock);
		transfer->thread = NULL;
		transfer->state = LEFT_THREAD;
		if (transfer->orphan)
		{
			pthread_mutex_unlock(&lock);
			transfer_destroy(transfer);
			pthread_mutex_lock(&lock);
			continue;
		}
		transfer->code = code;
		transfer->next = ended;
		ended = transfer;
		tell_sender();
	}
	shut_sockets(thread);
	pthread_mutex_unlock(&lock);
	if (thread->multi != NULL)
		(void) curl_multi_cleanup(thread->multi);
	return NULL;
}

/* ------------------------------------------------------------------------
 * For the sender.  All signals are blocked while these run.
 * ------------------------------------------------------------------------ */

bool
threads_init(int *wake_fd)
{
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	*wake_fd = event_fd;
	return event_fd >= 0;
}

/* One more thread, if all are busy; under the lock */
static bool
have_thread(void)
{
	struct Thread *thread;

	if (nidle > 0 || nthreads == THREADS_MAX)
		return true;
	thread = calloc(1, sizeof(struct Thread));
	if (thread == NULL)
		return nthreads > 0;
	if (pthread_create(&thread->id, NULL, thread_main, thread) != 0)
	{
		free(thread);
		return nthreads > 0;
	}
	threads[nthreads++] = thread;
	return true;
}

bool
threads_start(Transfer *transfer)
{
	bool		started;

	pthread_mutex_lock(&lock);
	started = have_thread();
	if (started)
	{
		transfer->state = WAITS_FOR_THREAD;
		transfer->next = NULL;
		*waiting_end = transfer;
		waiting_end = &transfer->next;
		pthread_cond_signal(&work);
	}
	pthread_mutex_unlock(&lock);
	return started;
}

Transfer *
threads_ended(CURLcode *code)
{
	Transfer   *transfer;
	uint64		count;

	pthread_mutex_lock(&lock);
	transfer = ended;
	if (transfer != NULL)
	{
		ended = transfer->next;
		transfer->next = NULL;
		*code = transfer->code;
	}
	else if (read(event_fd, &count, sizeof(count)) < 0)
		count = 0;				/* nothing was to be told */
	pthread_mutex_unlock(&lock);
	return transfer;
}

/* Take it out of a list, if it is there; under the lock */
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

void
threads_free(Transfer *transfer)
{
	bool		ours = true;

	pthread_mutex_lock(&lock);
	switch (transfer->state)
	{
		case WAITS_FOR_THREAD:
			unlink_transfer(&waiting, transfer);
			waiting_end = &waiting;
			while (*waiting_end != NULL)
				waiting_end = &(*waiting_end)->next;
			break;
		case IN_THREAD:
			transfer->abort = transfer->orphan = true;
			shut_sockets(transfer->thread);
			ours = false;
			break;
		case LEFT_THREAD:
			unlink_transfer(&ended, transfer);
			break;
		case NOT_IN_THREAD:
			break;
	}
	pthread_mutex_unlock(&lock);
	if (ours)
		transfer_destroy(transfer);
}

int
threads_running(void)
{
	return nthreads;
}

/*
 * One that libcurl lets wait for a lookup (before 7.87) cannot be stopped: it is
 * left behind after a while, and ends with the process.
 */
void
threads_stop(void)
{
	struct timespec until;

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
	}
}
