/*
 * network_rules.c
 *		To which addresses deliveries may go: see network_rules.h.
 *
 * A role that may send HTTP requests from the server must not reach with them
 * what only the server can reach: services on the machine itself, in its
 * network, the metadata service of a cloud.  Names are no help, they point where
 * their owner likes; so the address that a socket is about to be connected to is
 * checked.
 *
 * Of IPv6 only the part that is given out for global unicast counts as public.
 * An IPv4 address can be wrapped in an IPv6 address in several ways, and is
 * unwrapped first.
 */
#include "network_rules.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const special_v4[] = {
	"0.0.0.0/8",				/* this host */
	"10.0.0.0/8",				/* private */
	"100.64.0.0/10",			/* carrier's NAT */
	"127.0.0.0/8",				/* loopback */
	"168.63.129.16/32",			/* Azure's WireServer, only there on its hosts */
	"169.254.0.0/16",			/* link-local, metadata of clouds */
	"172.16.0.0/12",			/* private */
	"192.0.0.0/24",				/* protocol assignments */
	"192.0.2.0/24",				/* documentation */
	"192.88.99.0/24",			/* 6to4 relays */
	"192.168.0.0/16",			/* private */
	"198.18.0.0/15",			/* benchmarks */
	"198.51.100.0/24",			/* documentation */
	"203.0.113.0/24",			/* documentation */
	"224.0.0.0/4",				/* multicast */
	"240.0.0.0/4",				/* reserved, broadcast */
};

static const char *const special_v6[] = {
	"2001::/23",				/* protocol assignments, Teredo */
	"2001:db8::/32",			/* documentation */
	"3fff::/20",				/* documentation */
};

static const unsigned char v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool
is_v4(const unsigned char *address)
{
	return memcmp(address, v4_prefix, 12) == 0;
}

static void
wrap_v4(unsigned char *address, const void *v4)
{
	memcpy(address, v4_prefix, 12);
	memcpy(address + 12, v4, 4);
}

static bool
in_network(const unsigned char *address, const Network *network)
{
	int			bytes = network->bits / 8;
	int			rest = network->bits % 8;

	if (memcmp(address, network->address, bytes) != 0)
		return false;
	return rest == 0 ||
		((address[bytes] ^ network->address[bytes]) & (0xff << (8 - rest)) & 0xff) == 0;
}

/* One address or network */
static bool
parse_network(const char *text, Network *network)
{
	char		address[INET6_ADDRSTRLEN + 1];
	const char *slash = strchr(text, '/');
	size_t		length = slash != NULL ? (size_t) (slash - text) : strlen(text);
	unsigned char v4[4];
	long		bits = -1;
	int			width;

	if (length == 0 || length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	if (inet_pton(AF_INET, address, v4) == 1)
	{
		wrap_v4(network->address, v4);
		width = 32;
	}
	else if (inet_pton(AF_INET6, address, network->address) == 1)
		width = 128;
	else
		return false;
	if (slash != NULL)
	{
		char	   *end;

		if (slash[1] < '0' || slash[1] > '9')
			return false;
		bits = strtol(slash + 1, &end, 10);
		if (*end != '\0' || bits < 0 || bits > width)
			return false;
	}
	else
		bits = width;
	network->bits = (int) bits + (128 - width);
	return true;
}

bool
networks_parse(const char *text, NetworkList *list, char *problem, size_t size)
{
	const char *separators = ", \t\r\n";

	list->n = 0;
	for (;;)
	{
		char		word[64];
		size_t		length;

		text += strspn(text, separators);
		if (*text == '\0')
			return true;
		length = strcspn(text, separators);
		if (length >= sizeof(word))
		{
			snprintf(problem, size, "\"%.60s...\" is not an address or network", text);
			return false;
		}
		memcpy(word, text, length);
		word[length] = '\0';
		text += length;
		if (list->n == NETWORKS_MAX)
		{
			snprintf(problem, size, "more than %d networks", NETWORKS_MAX);
			return false;
		}
		if (!parse_network(word, &list->networks[list->n]))
		{
			snprintf(problem, size, "\"%s\" is not an address or network", word);
			return false;
		}
		list->n++;
	}
}

static bool
in_one_of(const unsigned char *address, const char *const *networks, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		Network		network;

		/* what cannot be read must not open a door */
		if (!parse_network(networks[i], &network) || in_network(address, &network))
			return true;
	}
	return false;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool
is_public(const unsigned char *address)
{
	if (is_v4(address))
		return !in_one_of(address, special_v4, COUNT(special_v4));
	return (address[0] & 0xe0) == 0x20 && !in_one_of(address, special_v6, COUNT(special_v6));
}

/* The prefixes behind which an IPv6 address carries an IPv4 address */
static const struct
{
	const char *prefix;
	int			offset;			/* of the IPv4 address, bytes */
	bool global;				/* may lead to the public Internet */
}			wrappers[] =

{
	{"2002::/16", 2, true},		/* 6to4 */
	{"64:ff9b::/96", 12, true}, /* NAT64 */
	{"64:ff9b:1::/48", 12, false},	/* NAT64 of one's own network */
	{"::ffff:0:0:0/96", 12, false}, /* translated (SIIT) */
	{"::/96", 12, true},		/* "compatible" */
};

/*
 * Find the IPv4 address that an IPv6 address stands for, how many bits its prefix
 * has, and whether it may be public.  False: it stands for none.
 */
static bool
unwrap(const unsigned char *address, unsigned char *inner, int *bits, bool *global)
{
	static const unsigned char zero[14] = {0};

	/* "::", "::1" and their like are addresses of IPv6 */
	if (is_v4(address) || memcmp(address, zero, sizeof(zero)) == 0)
		return false;
	for (size_t i = 0; i < COUNT(wrappers); i++)
	{
		Network		network;

		if (parse_network(wrappers[i].prefix, &network) && in_network(address, &network))
		{
			wrap_v4(inner, address + wrappers[i].offset);
			*bits = network.bits;
			*global = wrappers[i].global;
			return true;
		}
	}
	return false;
}

/* Read a socket's address as 128 bits; false: it is neither IPv4 nor IPv6 */
static bool
read_address(const struct sockaddr *socket_address, unsigned char *address)
{
	if (socket_address->sa_family == AF_INET)
		wrap_v4(address, &((const struct sockaddr_in *) socket_address)->sin_addr);
	else if (socket_address->sa_family == AF_INET6)
		memcpy(address, &((const struct sockaddr_in6 *) socket_address)->sin6_addr, 16);
	else
		return false;
	return true;
}

bool
address_bytes(const struct sockaddr *socket_address, unsigned char bytes[16])
{
	unsigned char inner[16];
	int			bits;
	bool global;

	if (!read_address(socket_address, bytes))
		return false;
	if (unwrap(bytes, inner, &bits, &global))
		memcpy(bytes, inner, 16);
	return true;
}

bool
address_listed(const struct sockaddr *socket_address, const NetworkList *list)
{
	unsigned char address[16];
	unsigned char inner[16];
	int			least = 0;
	bool global;

	if (!read_address(socket_address, address))
		return false;
	if (is_v4(address))
		least = 96;
	else
		(void) unwrap(address, inner, &least, &global);
	for (int i = 0; i < list->n; i++)
	{
		if (list->networks[i].bits >= least && in_network(address, &list->networks[i]))
			return true;
	}
	return false;
}

bool
address_public(const struct sockaddr *socket_address)
{
	unsigned char address[16];
	unsigned char inner[16];
	int			bits;
	bool global;

	if (!read_address(socket_address, address))
		return false;
	if (unwrap(address, inner, &bits, &global))
		return global &&is_public(inner);

	return is_public(address);
}

void
address_print(const struct sockaddr *address, char *buffer, size_t size)
{
	const void *where = NULL;

	if (address->sa_family == AF_INET)
		where = &((const struct sockaddr_in *) address)->sin_addr;
	else if (address->sa_family == AF_INET6)
		where = &((const struct sockaddr_in6 *) address)->sin6_addr;
	if (where == NULL || inet_ntop(address->sa_family, where, buffer, size) == NULL)
		snprintf(buffer, size, "an address of family %d", address->sa_family);
}
