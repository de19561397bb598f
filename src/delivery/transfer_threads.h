/*
 * transfer_threads.h
 *		Transfers that libcurl waits in: e-mails, each in a thread.  For delivery/transfer.c.
 */
#ifndef TRANSFER_THREADS_H
#define TRANSFER_THREADS_H

#include "delivery/transfer.h"

/* Where a transfer is that was handed to the threads */
typedef enum ThreadState
{
	NOT_IN_THREAD = 0,
	WAITS_FOR_THREAD,
	IN_THREAD,
	LEFT_THREAD
} ThreadState;

/* The descriptor is written to when a transfer has left its thread */
extern bool threads_init(int *wake_fd);
extern bool threads_start(Transfer *transfer);	/* false: no thread could be made */
extern Transfer *threads_ended(CURLcode *code); /* each once; NULL: none */

/* Nobody wants it any more; it is freed now, or by its thread */
extern void threads_free(Transfer *transfer);

/* How many there are */
extern int	threads_running(void);

/* All of them end, for the end of the process */
extern void threads_stop(void);

/* In delivery/transfer.c: all but what the threads keep */
extern void transfer_destroy(Transfer *transfer);

/* For delivery/transfer.c's callback: a thread has opened this socket for the transfer */
extern void threads_note_socket(Transfer *transfer, curl_socket_t fd);

#endif							/* TRANSFER_THREADS_H */
