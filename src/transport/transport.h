/*
 * transport.h
 *		The network side of deliveries, as the library defer_sender offers it.
 *
 * libcurl is linked into that library and nowhere else, so that no backend of
 * the server carries it.  The sender process is started from that library, and
 * hands this table of functions to defer_sender_run(); all that sends goes
 * through it.
 *
 * Plain C: no header of the server and none of libcurl is included.  Memory is
 * malloc's, no function throws an error, and nothing waits: the caller waits for
 * the descriptor, and calls perform() when it is readable or timeout() is over.
 * All functions belong to the main thread of the process.
 */
#ifndef TRANSPORT_H
#define TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "pure/network_rules.h"

/* Most e-mails in progress at the same time: each has a thread */
#define TRANSPORT_MAILS_MAX		64

/* Most bytes of headers that are kept of an answer */
#define TRANSPORT_HEAD_MAX		(64 * 1024)

/* The request to be sent; everything is copied by create() */
typedef struct TransferRequest
{
	bool		is_mail;		/* by SMTP; else by HTTP */
	bool		trusted;		/* the administrator's address: no rule
								 * applies */
	const char *url;
	const char *username;		/* NULL: no authentication */
	const char *password;		/* NULL: an empty one */
	const char *const *headers; /* whole lines, up to a NULL */
	long		timeout;		/* milliseconds */
	long		connect_timeout;	/* milliseconds */
	size_t		body_limit;		/* bytes of the answer's body that are read */

	/* HTTP */
	const char *method;
	const char *user_agent;
	const char *body;			/* NULL: none */
	size_t		body_length;
	long		redirects;		/* most that are followed */

	/* Mail */
	const char *mail_from;		/* in angle brackets, like the next */
	const char *const *recipients;	/* up to a NULL */
	const char *text;			/* UTF-8; one of these two may be NULL */
	const char *html;
} TransferRequest;

typedef enum TransferOutcome
{
	TRANSFER_ANSWERED = 0,		/* see status; of HTTP any, of SMTP success */
	TRANSFER_REJECTED,			/* the mail server has said no: see status */
	TRANSFER_LOGIN_DENIED,		/* the same, to the credentials */
	TRANSFER_TIMED_OUT,
	TRANSFER_FAILED,			/* no whole answer; may work later */
	TRANSFER_IMPOSSIBLE,		/* no whole answer, and there never will be
								 * one */
	TRANSFER_ADDRESS_REFUSED	/* by the network rules: see address */
} TransferOutcome;

/* What came of it; the buffers may be changed in place, and go with the transfer */
typedef struct TransferResult
{
	TransferOutcome outcome;
	long		status;			/* of HTTP or SMTP; 0: no answer */
	long		retry_after;	/* seconds that the server asks for; 0: none */
	char	   *error;			/* "" if there is none */
	char	   *address;		/* that was refused */
	char	   *head;			/* header lines; of SMTP the last answer.
								 * NULL: none */
	size_t		head_length;
	char	   *body;			/* of SMTP the last answer that says no. NULL:
								 * none */
	size_t		body_length;
	bool		body_cut;		/* there was more than body_limit */
} TransferResult;

typedef struct Transfer Transfer;

typedef struct Transport
{
	/* Once a process.  Returns NULL, or what failed, with errno */
	const char *(*init) (int *wait_fd);

	/*
	 * For transfers made from now on: networks allowed besides the public
	 * ones
	 */
	bool		(*configure) (const NetworkList *allowed, const char *ca_file);

	/* NULL: out of memory */
	Transfer   *(*create) (const TransferRequest *request);

	/* Begin; ended() gives back "entry".  False: result() says why */
	bool		(*start) (Transfer *transfer, int entry);

	/* Milliseconds until perform() is due though nothing arrives; -1: never */
	long		(*timeout) (void);
	void		(*perform) (void);

	/* A transfer that has ended, each once; NULL: none */
	Transfer   *(*ended) (int *entry);

	/* Valid once it has ended, or could not be started */
	TransferResult *(*result) (Transfer *transfer);

	/*
	 * Check whether the thread that looks up its name would go on without it,
	 * if it ended or were destroyed now.  A lookup cannot be broken off.
	 */
	bool		(*leaves_lookup) (const Transfer *transfer);

	/* Threads that look up names, for transfers or left behind by them */
	int			(*lookups) (void);

	/* Break it off, if it runs, and free it */
	void		(*destroy) (Transfer *transfer);

	/*
	 * End all threads, for the end of the process.  Returns how many could
	 * not be ended: exit() must not be called while there are any, as its
	 * handlers free what they use.
	 */
	int			(*stop) (void);
} Transport;

extern const Transport transport;

#endif							/* TRANSPORT_H */
