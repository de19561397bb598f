/*
 * fuzz_networks.c
 *		Fuzz target for the rules of addresses.  The input is an address and a
 *		list of networks:
 *
 *		byte 0			0: IPv4, of bytes 1 to 4; 1: IPv6; the rest: IPv6 that
 *						carries the IPv4 address of bytes 13 to 16
 *		bytes 1 to 16	the address
 *		the rest		the list; it ends at the first NUL byte
 *
 * What must hold, or the program aborts:
 *		what cannot be read has a reason, of one line;
 *		the list is what a reader that goes bit by bit makes of it;
 *		an address is allowed if and only if a plain comparison says so;
 *		an IPv4 address is the same written as IPv6.
 */
#include "fuzz.h"
#include "pure/network_rules.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#define HEADER	17

static const char *current_text = "";

/* 128 bits, one a byte; of IPv4 the last 32 */
typedef struct Bits
{
	bool		v4;
	unsigned char bit[128];
} Bits;

typedef struct NaiveNetwork
{
	Bits		address;
	int			length;			/* how many count, of 32 or 128 */
} NaiveNetwork;

static Bits
to_bits(bool v4, const unsigned char *bytes)
{
	static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};
	Bits		bits = {v4, {0}};
	int			i;

	/* written as IPv6, it is IPv4 all the same */
	if (!v4 && memcmp(bytes, mapped, 12) == 0)
		return to_bits(true, bytes + 12);
	for (i = 0; i < (v4 ? 32 : 128); i++)
		bits.bit[i] = bytes[i / 8] >> (7 - i % 8) & 1;
	return bits;
}

static bool
naive_network(const char *word, NaiveNetwork *network)
{
	static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};
	char		address[100];
	const char *slash = strchr(word, '/');
	unsigned char bytes[16];
	bool		v4;
	long		length;
	size_t		i;

	if (strlen(word) > 63)
		return false;			/* no address is so long */
	snprintf(address, sizeof(address), "%.*s",
			 slash != NULL ? (int) (slash - word) : (int) strlen(word), word);
	v4 = inet_pton(AF_INET, address, bytes) == 1;
	if (!v4 && inet_pton(AF_INET6, address, bytes) != 1)
		return false;
	length = v4 ? 32 : 128;
	if (slash != NULL)
	{
		if (slash[1] == '\0')
			return false;
		for (i = 1; slash[i] != '\0'; i++)
			if (!isdigit((unsigned char) slash[i]))
				return false;
		if (strtod(slash + 1, NULL) > (double) length)
			return false;
		length = atol(slash + 1);
	}
	network->address = to_bits(v4, bytes);
	network->length = (int) length;
	if (!v4 && memcmp(bytes, mapped, 12) == 0)
	{
		if (length >= 96)
			network->length -= 96;
		else
		{
			/* larger than all of IPv4: a network of IPv6 */
			int			bit;

			network->address.v4 = false;
			for (bit = 0; bit < 128; bit++)
				network->address.bit[bit] = bytes[bit / 8] >> (7 - bit % 8) & 1;
		}
	}
	return true;
}

/* Returns how many, -1: it cannot be read */
static int
naive_list(const char *text, NaiveNetwork *networks)
{
	char		copy[4096];
	char	   *word;
	char	   *rest;
	int			n = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	for (word = strtok_r(copy, ", \t\r\n", &rest); word != NULL;
		 word = strtok_r(NULL, ", \t\r\n", &rest))
	{
		if (n == NETWORKS_MAX || !naive_network(word, &networks[n]))
			return -1;
		n++;
	}
	return n;
}

static bool
begins_with(const Bits *address, const Bits *network, int length)
{
	int			i;

	for (i = 0; i < length; i++)
		if (address->bit[i] != network->bit[i])
			return false;
	return true;
}

static bool
naive_public_v4(uint32_t a)
{
	static const struct
	{
		uint32_t	first;
		uint32_t	last;
	}			special[] =
	{
		{0x00000000, 0x00ffffff}, {0x0a000000, 0x0affffff}, {0x64400000, 0x647fffff},
		{0x7f000000, 0x7fffffff}, {0xa83f8110, 0xa83f8110}, {0xa9fe0000, 0xa9feffff}, {0xac100000, 0xac1fffff},
		{0xc0000000, 0xc00000ff}, {0xc0000200, 0xc00002ff}, {0xc0586300, 0xc05863ff},
		{0xc0a80000, 0xc0a8ffff}, {0xc6120000, 0xc613ffff}, {0xc6336400, 0xc63364ff},
		{0xcb007100, 0xcb0071ff}, {0xe0000000, 0xffffffff},
	};
	size_t		i;

	for (i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (a >= special[i].first && a <= special[i].last)
			return false;
	return true;
}

static uint32_t
v4_of(const unsigned char *b)
{
	return (uint32_t) b[0] << 24 | (uint32_t) b[1] << 16 | (uint32_t) b[2] << 8 | b[3];
}

static bool
naive_public_v6(const unsigned char *b)
{
	uint32_t	high = v4_of(b);

	if (high >> 16 == 0x2002)
		return naive_public_v4(v4_of(b + 2));
	if (high == 0x0064ff9b && v4_of(b + 4) == 0 && v4_of(b + 8) == 0)
		return naive_public_v4(v4_of(b + 12));
	if (high == 0 && v4_of(b + 4) == 0 && v4_of(b + 8) == 0 && v4_of(b + 12) >= 0x10000)
		return naive_public_v4(v4_of(b + 12));
	return high >= 0x20000000 && high <= 0x3fffffff &&
		!(high >= 0x20010000 && high <= 0x200101ff) && high != 0x20010db8 &&
		!(high >= 0x3fff0000 && high <= 0x3fff0fff);
}

/* How many bits a network must have at least to hold an address that carries an IPv4 one */
static int
naive_least(const unsigned char *b)
{
	static const unsigned char zero[16];
	uint32_t	high = v4_of(b);

	if (high >> 16 == 0x2002)
		return 16;
	if (high == 0x0064ff9b && v4_of(b + 4) == 0 && v4_of(b + 8) == 0)
		return 96;
	if (high == 0x0064ff9b && v4_of(b + 4) >> 16 == 1)
		return 48;
	if (memcmp(b, zero, 8) == 0 && v4_of(b + 8) == 0xffff0000)
		return 96;
	if (memcmp(b, zero, 12) == 0 && v4_of(b + 12) >= 0x10000)
		return 96;
	return 0;
}

static bool
naive_allowed(bool v4, const unsigned char *bytes, const NaiveNetwork *networks, int n)
{
	Bits		address = to_bits(v4, bytes);
	int			i;

	for (i = 0; i < n; i++)
		if (networks[i].address.v4 == address.v4 &&
			(address.v4 || networks[i].length >= naive_least(bytes)) &&
			begins_with(&address, &networks[i].address, networks[i].length))
			return true;
	if (address.v4)
		return naive_public_v4(v4_of(v4 ? bytes : bytes + 12));
	return naive_public_v6(bytes);
}

/* The address of the input */
static bool
choose_address(const uint8_t *data, unsigned char *bytes)
{
	static const unsigned char prefixes[][12] = {
		{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff},
		{0, 0x64, 0xff, 0x9b},
		{0},
		{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff},
		{0, 0x64, 0xff, 0x9b, 0, 1},
	};

	memcpy(bytes, data + 1, 16);
	if (data[0] >= 2 && data[0] < 2 + sizeof(prefixes) / sizeof(prefixes[0]))
		memcpy(bytes, prefixes[data[0] - 2], 12);
	else if (data[0] >= 2)
	{
		bytes[0] = 0x20;
		bytes[1] = 0x02;
		memcpy(bytes + 2, data + 13, 4);
	}
	return data[0] == 0;
}

static bool
is_allowed(bool v4, const unsigned char *bytes, const NetworkList *list)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	memcpy(&in.sin_addr, bytes, 4);
	memcpy(&in6.sin6_addr, bytes, 16);
	return address_allowed(v4 ? (struct sockaddr *) &in : (struct sockaddr *) &in6, list);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static NaiveNetwork networks[NETWORKS_MAX];
	char		text[2048];
	char		problem[100] = "";
	unsigned char bytes[16];
	NetworkList list;
	bool		v4;
	bool		read;
	int			n;
	size_t		i;

	if (size < HEADER || size - HEADER >= sizeof(text))
		return 0;
	memcpy(text, data + HEADER, size - HEADER);
	text[size - HEADER] = '\0';
	current_text = text;

	read = networks_parse(text, &list, problem, sizeof(problem));
	n = naive_list(text, networks);
	must(read == (n >= 0));
	if (!read)
	{
		must(problem[0] != '\0' && strlen(problem) < sizeof(problem));
		for (i = 0; problem[i] != '\0'; i++)
			must(problem[i] != '\n' && problem[i] != '\r');
		list.n = n = 0;
	}
	must(list.n == n);
	v4 = choose_address(data, bytes);
	must(is_allowed(v4, bytes, &list) == naive_allowed(v4, bytes, networks, n));
	if (v4)
	{
		unsigned char mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};

		memcpy(mapped + 12, bytes, 4);
		must(is_allowed(true, bytes, &list) == is_allowed(false, mapped, &list));
	}
	return 0;
}
