/*
 * delivery.h
 *		Deliveries: HTTP requests, e-mails and messages to Slack, as jobs.
 *
 * What is to be sent is in the arguments of the job, an object:
 *
 *	http	method, url, body (and its type) or base64, headers, endpoint,
 *			timeout, connect_timeout, redirects, max_response
 *	email	to, cc, bcc, reply_to, from, subject, body, html, endpoint, timeout
 *	slack	endpoint, text, blocks, timeout
 *
 * Times are in microseconds.  Addresses that are secret, and credentials, are
 * in an endpoint, which the job names.
 */
#ifndef DELIVERIES_H
#define DELIVERIES_H

#include "fmgr.h"
#include "nodes/pg_list.h"

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

/* SQLSTATEs: answered, but not with success; could not reach or talk to the peer */
#define ERRCODE_DELIVERY_ANSWER		MAKE_SQLSTATE('D', 'F', '0', '2', '0')
#define ERRCODE_DELIVERY_NETWORK	ERRCODE_CONNECTION_FAILURE

/* ------------------------------------------------------------------------
 * delivery/delivery_args.c: reading and writing the arguments of deliveries
 * ------------------------------------------------------------------------ */
extern char *text_argument(FunctionCallInfo fcinfo, int n);	/* NULL: it is NULL */
extern const char *delivery_text(const Jsonb *args, const char *key);	/* NULL: not there */
extern int64 delivery_number(const Jsonb *args, const char *key, int64 otherwise);
extern Jsonb *delivery_json(const Jsonb *args, const char *key);	/* array or object; NULL: not there */
extern List *delivery_list(const Jsonb *args, const char *key); /* of strings */
typedef void (*DeliveryPair) (const char *name, const char *value, void *context);
extern void delivery_pairs(const Jsonb *object, DeliveryPair call, void *context);

extern void push_text(JsonbBuilder *state, const char *key, const char *value);
extern void push_bytes(JsonbBuilder *state, const char *key, const char *value, int length);
extern void push_number(JsonbBuilder *state, const char *key, int64 value);
extern void push_bool(JsonbBuilder *state, const char *key, bool value);
extern void push_json(JsonbBuilder *state, const char *key, Jsonb *value);

/* Errors say which parameter */
extern void check_headers(const Jsonb *headers);
extern char *check_url(const char *url, const char *const *schemes, const char *parameter);
extern void check_no_control(const char *value, const char *parameter);
extern void check_mail_address(const char *address, const char *parameter);

extern const char *const http_schemes[];
extern const char *const mail_schemes[];

/* ------------------------------------------------------------------------
 * delivery/endpoint.c: addresses and credentials under a name
 * ------------------------------------------------------------------------ */
typedef struct Endpoint
{
	char	   *name;
	Oid			owner;
	int			ngranted;
	Oid		   *granted;		/* InvalidOid in it: everybody */
	char	   *kind;			/* "http", "slack", "email" */
	char	   *url;
	Jsonb	   *headers;		/* NULL: none */
	char	   *username;
	char	   *password;
	char	   *secret;			/* to sign with */
	char	   *sender;			/* From: of e-mails */
} Endpoint;

extern Endpoint *endpoint_read(const char *name);	/* NULL: there is none */
extern bool endpoint_usable_by(const Endpoint *endpoint, Oid role);
/* At the call: error if there is none of that kind (NULL: any) that the current user may use */
extern Endpoint *endpoint_check(const char *name, const char *kind);

/* ------------------------------------------------------------------------
 * delivery/dispatch.c: what all kinds have in common
 * ------------------------------------------------------------------------ */
struct Transfer;

/* Who we are: for keys that a receiver can recognise */
extern const char *installation_id(void);	/* in a transaction */
extern char *delivery_key(const Job *job);

/*
 * Make the transfer of a job.  NULL: it cannot be made, and "end" says why.  In
 * a transaction.
 */
extern struct Transfer *delivery_prepare(const Job *job, Endpoint **used, DeliveryEnd *end);

extern bool delivery_allowed(const char *kind, Oid role);

/* What came of it; "code" is libcurl's */
extern void delivery_judge(const Job *job, const Endpoint *endpoint, struct Transfer *transfer, int code, DeliveryEnd *end);

extern void delivery_refuse(DeliveryEnd *end, int sqlerrcode, char *message, char *detail);
extern char *to_utf8(const char *text);	/* from the database's encoding */
extern int64 delivery_timeout(const Job *job, int64 otherwise);	/* milliseconds */
extern void delivery_network_error(struct Transfer *transfer, int code, const char *what, DeliveryEnd *end);
extern void mask_secrets(const Endpoint *endpoint, char *data, size_t length);

/* delivery/http.c: HTTP and Slack */
extern bool http_prepare(const Job *job, const Endpoint *endpoint, struct Transfer *transfer, DeliveryEnd *end);
extern void http_judge(const Job *job, const Endpoint *endpoint, struct Transfer *transfer, int code, DeliveryEnd *end);

/* delivery/mail.c */
extern bool mail_prepare(const Job *job, const Endpoint *endpoint, struct Transfer *transfer, DeliveryEnd *end);
extern void mail_judge(const Job *job, struct Transfer *transfer, int code, DeliveryEnd *end);

#endif							/* DELIVERIES_H */
