/*
 * own_addresses.c
 *		The addresses of this machine.
 *
 * A server with a public address can be reached at it from itself, past the
 * firewall in front of it: for its own requests that address is no more public
 * than 127.0.0.1.  Interfaces come and go, so they are read anew for each
 * connection, which takes some ten microseconds.
 */
#include "transport/transfer.h"

#include <ifaddrs.h>
#include <string.h>

int
address_is_own(const struct sockaddr *address)
{
	struct ifaddrs *interfaces;
	unsigned char wanted[16];
	unsigned char bytes[16];
	int			own = 0;

	if (!address_bytes(address, wanted) || getifaddrs(&interfaces) != 0)
		return -1;
	for (struct ifaddrs *one = interfaces; one != NULL && !own; one = one->ifa_next)
	{
		if (one->ifa_addr != NULL && address_bytes(one->ifa_addr, bytes) &&
			memcmp(bytes, wanted, sizeof(bytes)) == 0)
			own = 1;
	}
	freeifaddrs(interfaces);
	return own;
}
