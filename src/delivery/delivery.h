/*
 * delivery.h
 *		Deliveries: HTTP requests, e-mails and messages to Slack, as jobs.
 *
 * The arguments of the job, an object, hold the delivery:
 *
 *	http	method, url, body (and its type) or base64, headers, endpoint,
 *			timeout, connect_timeout, redirects, max_response
 *	email	to, cc, bcc, reply_to, from, subject, body, html, endpoint, timeout
 *	slack	endpoint, text, blocks, timeout
 *
 * Times are in microseconds.  Addresses that are secret, and credentials, are
 * in an endpoint, which the job names.
 */
#ifndef DELIVERY_H
#define DELIVERY_H

#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "base/compat.h"
#include "base/job.h"
#include "job/batch.h"

/* Largest time-out of a delivery, and those by default (microseconds) */
#define DELIVERY_TIMEOUT_MAX	USECS_PER_HOUR
#define HTTP_DEFAULT_TIMEOUT	(30 * USECS_PER_SEC)
#define HTTP_DEFAULT_CONNECT_TIMEOUT (10 * USECS_PER_SEC)
#define MAIL_DEFAULT_TIMEOUT	(60 * USECS_PER_SEC)

/* Bytes of an answer that are kept by default */
#define HTTP_DEFAULT_MAX_RESPONSE	(256 * 1024)

/* The SQLSTATE of a delivery that could not reach its server, or talk to it */
#define ERRCODE_DELIVERY_NETWORK	ERRCODE_CONNECTION_FAILURE

/* ------------------------------------------------------------------------
 * delivery/delivery_args.c: reading and writing the arguments of deliveries
 * ------------------------------------------------------------------------ */


/* Errors say which parameter */
extern void delivery_check_headers(const Jsonb *headers);
extern char *delivery_check_url(const char *url, const char *const *schemes, const char *parameter);
extern void delivery_check_no_control(const char *value, const char *parameter);
extern void delivery_check_mail_address(const char *address, const char *parameter);

extern const char *const delivery_http_schemes[];
extern const char *const delivery_mail_schemes[];

/* ------------------------------------------------------------------------
 * delivery/sql.c: the arguments of a job, of those of defer.http() and defer.email(), of
 * which the options are not looked at; errors as of these, but for the right to them
 * ------------------------------------------------------------------------ */

extern Jsonb *delivery_read_http(FunctionCallInfo fcinfo);
extern Jsonb *delivery_read_email(FunctionCallInfo fcinfo);

/* ------------------------------------------------------------------------
 * delivery/object.c
 * ------------------------------------------------------------------------ */

/*
 * The same of an object with their parameters as members: kind is JOB_HTTP or JOB_EMAIL.
 * "sample": a member that is null is not known yet, and anything that could be right; then
 * the arguments are good for nothing, and errors are what can be wrong already.  Also an
 * error if the current role has no right to the function.  *field is, for example,
 * "http.url" while an error would be about that value.
 */
extern Jsonb *delivery_of_object(char kind, const Jsonb *object, bool sample,
								 const char **field);

/* ------------------------------------------------------------------------
 * delivery/common.c
 * ------------------------------------------------------------------------ */

/*
 * Check whether the role may send deliveries of that kind, "http", "email" or
 * "slack"
 */
extern bool delivery_allowed(const char *kind, Oid role);

#endif							/* DELIVERY_H */
