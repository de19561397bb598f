/*
 * network_rules.h
 *		To which addresses deliveries may go.  Pure: no server in it.
 */
#ifndef NETWORK_RULES_H
#define NETWORK_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* Most networks in one list */
#define NETWORKS_MAX	64

/* 128 bits, IPv4 as ::ffff:a.b.c.d */
typedef struct Network
{
	unsigned char address[16];
	int			bits;			/* that count, 0 to 128 */
} Network;

typedef struct NetworkList
{
	int			n;
	Network		networks[NETWORKS_MAX];
} NetworkList;

/*
 * Read a list of addresses and networks, "10.0.0.0/8, ::1": false, and what is
 * wrong in "problem", if it cannot be read.
 */
extern bool networks_parse(const char *text, NetworkList *list, char *problem, size_t size);

/*
 * Is that an address of the public Internet, or in the list?  What wraps an
 * IPv4 address is public if that address is; in the list, networks of IPv6 do
 * not stand for addresses of IPv4, but for those that wrap one.
 */
extern bool address_allowed(const struct sockaddr *address, const NetworkList *allowed);

/* As text, for messages */
extern void address_print(const struct sockaddr *address, char *buffer, size_t size);

#endif							/* NETWORK_RULES_H */
