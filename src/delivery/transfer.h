/*
 * transfer.h
 *		Network transfers of the sender: libcurl's multi interface behind one
 *		epoll descriptor.  It knows nothing of jobs and tables.
 *
 * Memory of a transfer is malloc's, not the server's: libcurl calls back, and
 * no error may be thrown through it.
 */
#ifndef TRANSFER_H
#define TRANSFER_H

#include "postgres.h"

#include <curl/curl.h>

#include "pure/network_rules.h"

/* Most bytes of headers that are kept of an answer */
#define HEAD_MAX	(64 * 1024)

typedef struct TransferBuffer
{
	char	   *data;			/* NUL-terminated; NULL while there is nothing */
	size_t		length;
	size_t		room;
	size_t		limit;
	bool		overflow;		/* there was more than limit */
} TransferBuffer;

typedef struct Transfer
{
	CURL	   *easy;
	struct curl_slist *headers; /* freed with the transfer, like all of these */
	struct curl_slist *recipients;
	curl_mime  *mime;
	char	   *request_body;
	bool		trusted;		/* an address that the administrator has set */
	bool		is_mail;		/* the headers are a server's answers by SMTP */
	TransferBuffer head;		/* of the last answer */
	TransferBuffer body;		/* of e-mail: the last answer that said no */
	bool		refused;		/* an address was refused by the rules */
	char		refused_address[64];
	char		error[CURL_ERROR_SIZE];
	int			entry;			/* the caller's */
	bool		running;
	volatile bool looking_up;	/* a thread of libcurl's looks up a name for it */
	NetworkList allowed;		/* networks that are not public, and may be */

	/* delivery/transfer_threads.c's; under its lock */
	struct Thread *thread;		/* that runs it; NULL: none */
	CURLcode	code;			/* when it has left the thread */
	struct Transfer *next;
	int			state;			/* a ThreadState */
	bool		abort;
	bool		orphan;			/* the thread is to free it */
} Transfer;

/* Once a process */
extern void transfers_init(void);

/* Whom to trust, and where to go; until the next call */
extern void transfers_configure(const NetworkList *allowed, const char *ca_file);

/* A transfer with what all have in common; NULL: no memory */
extern Transfer *transfer_new(size_t body_limit);
extern void transfer_free(Transfer *transfer);

/* Begin; false: error says why */
extern bool transfer_start(Transfer *transfer);

/* Add a line to the request's headers; false: no memory */
extern bool transfer_header(Transfer *transfer, const char *line);

/*
 * Wait for the network, the latch or the time-out (milliseconds; -1: none),
 * and do what can be done.
 */
extern void transfers_wait(long timeout);

/* The process ends: no thread must be left that uses libcurl */
extern void transfers_stop(void);

/* A transfer that has ended, each once; NULL: none */
extern Transfer *transfers_ended(CURLcode *code);

/* It has ended so, or is to be freed: may a thread still be looking up its name? */
extern bool transfer_leaves_lookup(const Transfer *transfer, CURLcode code);

/* How many threads look up names, for transfers or left behind by them */
extern int	transfers_lookups(void);

#endif							/* TRANSFER_H */
