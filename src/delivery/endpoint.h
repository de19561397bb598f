/*
 * endpoint.h
 *		Endpoints: addresses and credentials under a name (delivery/endpoint.c).
 */
#ifndef DELIVERY_ENDPOINT_H
#define DELIVERY_ENDPOINT_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/jsonb.h"

#include "base/compat.h"

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
	TimestampTz paused_until;	/* 0: never was */
	TimestampTz created_at;
} Endpoint;

/*
 * delivery/endpoint_pause.c: hold back what is to be sent to the endpoint, for so long at
 * least (microseconds); in a transaction.  Returns how long it is held back by now, 0:
 * it is not.
 */
extern void endpoint_pause(const Endpoint *endpoint, int64 time);
extern int64 endpoint_paused(const Endpoint *endpoint);

/*
 * delivery/endpoint_limits.c: check the arguments for limits, which begin at "first"; true:
 * any is given.  Write them; "reset" takes those that are not given away.  In SPI, as
 * the extension's owner, as is what follows: one is dropped, and had that number.
 */
#define ENDPOINT_LIMITS	3

extern bool endpoint_limits_check(FunctionCallInfo fcinfo, int first);
extern void endpoint_limits_write(const char *name, FunctionCallInfo fcinfo, int first, bool reset);
extern void endpoint_limits_forget(int32 id);

/* Read one; NULL: there is none of that name */
extern Endpoint *endpoint_read(const char *name);

/* Check whether the role may send with the endpoint */
extern bool endpoint_usable_by(const Endpoint *endpoint, Oid role);

/*
 * Check whether mails of the role over this endpoint must have the endpoint's
 * sender.  They must for all roles but its owner, if it has a sender.
 */
extern bool endpoint_fixes_sender(const Endpoint *endpoint, Oid role);

/* Read one that the current user wants to send with; error if it cannot, or if it
 * is not of that kind (NULL: any) */
extern Endpoint *endpoint_check(const char *name, const char *kind);

/*
 * Add the endpoint to the arguments of a job of that role: its name and, where that
 * is another role, its owner by name, which holds in a dump where an OID would not, and
 * when it was created, which holds where the owner is renamed.
 */
extern void endpoint_push(JsonbBuilder *state, const char *name, Oid endpoint_owner,
						  TimestampTz created_at, Oid job_owner);

/*
 * Check whether the endpoint is the one that was added, or one that the same owner
 * has made again since
 */
extern bool endpoint_is_meant(const Endpoint *endpoint, const Jsonb *args, Oid job_owner);

#endif							/* DELIVERY_ENDPOINT_H */
