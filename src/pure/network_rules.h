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
 * Read a list of addresses and networks, "10.0.0.0/8, ::1": false, and the
 * reason in "problem", if it cannot be read.
 */
extern bool networks_parse(const char *text, NetworkList *list, char *problem, size_t size);

/*
 * Check whether one of the networks holds the address.  A network stands for
 * IPv4 addresses only if it is one of IPv4 itself, and for IPv6 addresses that
 * wrap an IPv4 address only if it is not larger than all those that are
 * wrapped in that way: "::/0" is all of IPv6, and lets in no IPv4 that is
 * written in it.
 */
extern bool address_listed(const struct sockaddr *address, const NetworkList *list);

/*
 * Check for an address of the public Internet.  An address that wraps an IPv4
 * one is as that one is
 */
extern bool address_public(const struct sockaddr *address);

/* Either of these */
static inline bool
address_allowed(const struct sockaddr *address, const NetworkList *list)
{
	return address_listed(address, list) || address_public(address);
}

/* Read it as 128 bits, what wraps an IPv4 address as that; false: not of IP */
extern bool address_bytes(const struct sockaddr *address, unsigned char bytes[16]);

/* Write it as text, for messages */
extern void address_print(const struct sockaddr *address, char *buffer, size_t size);

#endif							/* NETWORK_RULES_H */
