/*
 * endpoint.h
 *		Endpoints: addresses and credentials under a name (delivery/endpoint.c).
 */
#ifndef DELIVERY_ENDPOINT_H
#define DELIVERY_ENDPOINT_H

#include "utils/jsonb.h"

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

/* Read one; NULL: there is none of that name */
extern Endpoint *endpoint_read(const char *name);

/* May the role send with it? */
extern bool endpoint_usable_by(const Endpoint *endpoint, Oid role);

/*
 * Must mails of the role over this endpoint have the endpoint's sender?  So it is
 * for all but its owner, if it has one.
 */
extern bool endpoint_fixes_sender(const Endpoint *endpoint, Oid role);

/* Read one that the current user wants to send with; error if it cannot, or if it
 * is not of that kind (NULL: any) */
extern Endpoint *endpoint_check(const char *name, const char *kind);

#endif							/* DELIVERY_ENDPOINT_H */
