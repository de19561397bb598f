/*
 * dispatch.h
 *		From a job to the request to be sent, and from its outcome to the job's
 *		end.
 *
 *	dispatch.c						for the sender: all kinds of deliveries
 *	http_request.c, http_answer.c	HTTP and Slack
 *	mail.c							e-mail
 *	mask.c, common.c				what these have in common
 */
#ifndef DELIVERY_DISPATCH_H
#define DELIVERY_DISPATCH_H

#include "delivery/delivery.h"
#include "delivery/endpoint.h"
#include "job/finish.h"
#include "transport/transport.h"

/* ------------------------------------------------------------------------
 * dispatch.c
 * ------------------------------------------------------------------------ */

/*
 * Describe the request of a job, in the current memory context; in a
 * transaction.  False: it cannot be sent, and "end" says why.
 */
extern bool delivery_prepare(const Job *job, Endpoint **endpoint, TransferRequest *request,
							 DeliveryEnd *end);

/* Find out what a transfer that has ended means for its job; in a transaction */
extern void delivery_classify(const Job *job, const Endpoint *endpoint, TransferResult *result,
							  DeliveryEnd *end);

/* ------------------------------------------------------------------------
 * common.c
 * ------------------------------------------------------------------------ */

/* The job fails for good */
extern void delivery_refuse(DeliveryEnd *end, int sqlerrcode, char *message, char *detail);

/* The same for each attempt at the job, and of no other job anywhere; in a transaction */
extern char *delivery_key(const Job *job);

/* From the database's encoding */
extern char *delivery_to_utf8(const char *text);

/* Milliseconds, by the job's arguments ("otherwise", microseconds, if they say nothing) */
extern long delivery_timeout(const Job *job, int64 otherwise);

/* No answer at all, or not a whole one; "what" names the delivery */
extern void delivery_network_error(const Job *job, const TransferResult *result, const char *what,
								   DeliveryEnd *end);

/* ------------------------------------------------------------------------
 * mask.c
 * ------------------------------------------------------------------------ */

/* Overwrite the endpoint's secrets in the data */
extern void mask_secrets(const Endpoint *endpoint, char *data, size_t length);

/*
 * Bytes that must be read behind the part that is kept, for mask_secrets() to
 * see secrets whole
 */
extern size_t mask_length(const Endpoint *endpoint);

/* ------------------------------------------------------------------------
 * The kinds: as delivery_prepare() and delivery_classify()
 * ------------------------------------------------------------------------ */
extern bool http_prepare(const Job *job, const Endpoint *endpoint, TransferRequest *request,
						 DeliveryEnd *end);
extern void http_classify(const Job *job, const TransferResult *result, DeliveryEnd *end);
extern bool mail_prepare(const Job *job, const Endpoint *endpoint, TransferRequest *request,
						 DeliveryEnd *end);
extern void mail_classify(const Job *job, const TransferResult *result, DeliveryEnd *end);

#endif							/* DELIVERY_DISPATCH_H */
