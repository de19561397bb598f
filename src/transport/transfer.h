/*
 * transfer.h
 *		A transfer inside the library defer_sender: see transport.h.
 *
 *	transfer.c		makes, frees and classifies transfers
 *	transfer_loop.c	libcurl's multi interface behind one epoll descriptor (HTTP)
 *	mail_threads.c	threads in which libcurl waits (SMTP)
 *
 * A file calls those above it in this list only.
 */
#ifndef TRANSFER_H
#define TRANSFER_H

#include <curl/curl.h>

#include "transport/transport.h"

#if LIBCURL_VERSION_NUM < 0x075800
#error "libcurl 7.88 or newer is required"
#endif

typedef struct TransferBuffer
{
	char	   *data;			/* NUL-terminated; NULL while it is empty */
	size_t		length;
	size_t		size;
	size_t		limit;
	bool		cut;			/* there was more than limit */
} TransferBuffer;

typedef struct MailThread MailThread;

typedef enum MailState
{
	MAIL_NEW = 0,
	MAIL_QUEUED,
	MAIL_IN_THREAD,
	MAIL_ENDED
} MailState;

struct Transfer
{
	CURL	   *easy;
	struct curl_slist *headers;
	struct curl_slist *recipients;
	curl_mime  *mime;
	bool		is_mail;
	bool		trusted;
	bool		started;
	NetworkList allowed;
	TransferBuffer head;
	TransferBuffer body;
	char		error[CURL_ERROR_SIZE];
	char		refused_address[64];	/* "" if none was */
	int			entry;			/* the caller's */
	int			looking_up;		/* atomic: a thread of libcurl's does, for it */
	CURLcode	code;			/* set by transfer_classify() */
	TransferResult result;

	/* Called for each socket that is opened for it; NULL: nothing to do */
	void		(*opened) (Transfer *transfer, curl_socket_t fd);

	/* mail_threads.c: under its lock */
	MailThread *thread;			/* that runs it; NULL: none */
	MailState	state;
	CURLcode	thread_code;	/* of MAIL_ENDED */
	Transfer   *next;
	bool		abort;
	bool		orphan;			/* the thread is to free it */
};

/* transfer.c */
extern bool transfers_configure(const NetworkList *allowed, const char *ca_file);
extern CURLM *transfer_create_multi(void);	/* NULL: no memory */
extern Transfer *transfer_create(const TransferRequest *request);
extern void transfer_free(Transfer *transfer);	/* it must not run; in any
												 * thread */
extern void transfer_classify(Transfer *transfer, CURLcode code);
extern TransferResult *transfer_result(Transfer *transfer);
extern bool transfer_leaves_lookup(const Transfer *transfer);

/*
 * own_addresses.c: check for an address of this machine.  -1: that cannot be
 * found out
 */
extern int	address_is_own(const struct sockaddr *address);

/* mail_threads.c */
extern bool mail_threads_init(int *wake_fd);
extern bool mail_threads_start(Transfer *transfer);
extern Transfer *mail_threads_ended(CURLcode *code);
extern void mail_threads_destroy(Transfer *transfer);
extern int	mail_threads_running(void);
extern int	mail_threads_stop(void);

#endif							/* TRANSFER_H */
