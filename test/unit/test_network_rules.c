/*
 * test_network_rules.c
 *		To which addresses deliveries may go.
 */
#include "harness.h"
#include "pure/network_rules.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const NetworkList nothing = {0};

/* An address in text, of either kind */
static struct sockaddr_storage
address_of(const char *text)
{
	struct sockaddr_storage storage;
	struct sockaddr_in *v4 = (struct sockaddr_in *) &storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &storage;

	memset(&storage, 0, sizeof(storage));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
		v4->sin_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
		v6->sin6_family = AF_INET6;
	else
	{
		fprintf(stderr, "not an address: %s\n", text);
		abort();
	}
	return storage;
}

static bool
allowed(const char *text, const NetworkList *list)
{
	struct sockaddr_storage storage = address_of(text);

	return address_allowed((struct sockaddr *) &storage, list);
}

static NetworkList
list_of(const char *text)
{
	NetworkList list;
	char		problem[200] = "";

	check(networks_parse(text, &list, problem, sizeof(problem)), "\"%s\": %s", text, problem);
	return list;
}

/* In all the ways in which IPv6 can carry an IPv4 address */
static void
check_v4(const char *v4, bool expected)
{
	static const NetworkList none = {0};
	unsigned char b[4];
	char		text[80];

	check(allowed(v4, &none) == expected, "%s", v4);
	inet_pton(AF_INET, v4, b);
	snprintf(text, sizeof(text), "::ffff:%s", v4);
	check(allowed(text, &none) == expected, "mapped %s", v4);
	snprintf(text, sizeof(text), "2002:%02x%02x:%02x%02x::1", b[0], b[1], b[2], b[3]);
	check(allowed(text, &none) == expected, "6to4 %s", v4);
	snprintf(text, sizeof(text), "64:ff9b::%s", v4);
	check(allowed(text, &none) == expected, "NAT64 %s", v4);
	if (b[0] != 0 || b[1] != 0)
	{
		snprintf(text, sizeof(text), "::%s", v4);
		check(allowed(text, &none) == expected, "compatible %s", v4);
	}
	/* not forms that are routed: never public, whatever is in them */
	snprintf(text, sizeof(text), "::ffff:0:%s", v4);
	check(!allowed(text, &none), "translated %s", v4);
	snprintf(text, sizeof(text), "64:ff9b:1::%s", v4);
	check(!allowed(text, &none), "local NAT64 %s", v4);
	snprintf(text, sizeof(text), "2001:0:%02x%02x:%02x%02x::1", b[0], b[1], b[2], b[3]);
	check(!allowed(text, &none), "Teredo by %s", v4);
	snprintf(text, sizeof(text), "fe80::5efe:%s", v4);
	check(!allowed(text, &none), "ISATAP %s", v4);
}

/* The network's own ends, and what is just outside; NULL: that is special, too */
static void
test_special(void)
{
	static const struct
	{
		const char *before;
		const char *first;
		const char *last;
		const char *after;
	}			v4[] =
	{
		{NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0"},
		{"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
		{"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
		{"126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
		{"169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
		{"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
		{"191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
		{"192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
		{"192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"},
		{"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
		{"198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
		{"198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"},
		{"203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
		{"223.255.255.255", "224.0.0.0", "239.255.255.255", NULL},
		{NULL, "240.0.0.0", "255.255.255.255", NULL},
	};
	static const char *const v4_special[] = {
		"127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.1.1", "255.255.255.255",
		"100.100.100.200", "168.63.129.16", "224.0.0.251",
	};
	static const char *const v4_public[] = {
		"1.1.1.1", "8.8.8.8", "93.184.216.34", "192.0.66.1", "172.217.1.1", "198.41.0.4",
	};
	/* IPv6: what is public, and what is around it */
	static const struct
	{
		const char *address;
		bool		expected;
	}			v6[] =
	{
		{"::", false}, {"::1", false}, {"::2", false}, {"::ffff", false},
		{"1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false},
		{"2000::", true},
		{"2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true},
		{"2001::", false}, {"2001::1", false}, {"2001:2::1", false}, {"2001:10::1", false},
		{"2001:20::1", false}, {"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", false},
		{"2001:200::", true},
		{"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", true},
		{"2001:db8::", false}, {"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", false},
		{"2001:db9::", true},
		{"2001:4860:4860::8888", true}, {"2606:4700:4700::1111", true},
		{"2003::", true},
		{"3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true},
		{"3fff::", false}, {"3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", false},
		{"3fff:1000::", true},
		{"3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true},
		{"4000::", false}, {"5f00::1", false}, {"100::1", false}, {"64:ff9b:1::1", false},
		{"fbff:ffff::1", false}, {"fc00::1", false}, {"fd00:ec2::254", false},
		{"fdff:ffff::1", false}, {"fe80::1", false}, {"febf::1", false}, {"fec0::1", false},
		{"ff02::1", false}, {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false},
	};
	size_t		i;

	for (i = 0; i < sizeof(v4) / sizeof(v4[0]); i++)
	{
		if (v4[i].before != NULL)
			check_v4(v4[i].before, true);
		check_v4(v4[i].first, false);
		check_v4(v4[i].last, false);
		if (v4[i].after != NULL)
			check_v4(v4[i].after, true);
	}
	for (i = 0; i < sizeof(v4_special) / sizeof(v4_special[0]); i++)
		check_v4(v4_special[i], false);
	for (i = 0; i < sizeof(v4_public) / sizeof(v4_public[0]); i++)
		check_v4(v4_public[i], true);
	for (i = 0; i < sizeof(v6) / sizeof(v6[0]); i++)
		check(allowed(v6[i].address, &nothing) == v6[i].expected, "%s", v6[i].address);
}

static void
test_lists(void)
{
	NetworkList list = list_of("10.0.0.0/8, 192.168.7.9\t::1\n  fd00::/8,,2001:db8::/33,");

	check(list.n == 5, "%d networks", list.n);
	check(allowed("10.0.0.0", &list) && allowed("10.255.255.255", &list), "10/8");
	check(allowed("11.0.0.0", &list), "11.0.0.0 is public");
	check(allowed("9.255.255.255", &nothing), "9.255.255.255 is public");
	check(allowed("192.168.7.9", &list) && !allowed("192.168.7.8", &list) &&
		  !allowed("192.168.7.10", &list), "one address");
	check(allowed("::1", &list) && !allowed("::2", &list), "::1");
	check(allowed("fd12:3456::1", &list) && !allowed("fc12:3456::1", &list), "fd00::/8");
	check(allowed("2001:db8:7fff::1", &list) && !allowed("2001:db8:8000::1", &list),
		  "not at a byte's end");
	check(!allowed("127.0.0.1", &list), "what is not in the list");
	check(allowed("8.8.8.8", &list), "public with a list");

	/* The same address, written as IPv6 */
	check(allowed("::ffff:10.1.2.3", &list), "mapped, in the list");
	list = list_of("::ffff:10.0.0.0/104");
	check(allowed("10.200.0.1", &list) && !allowed("192.168.0.1", &list), "list with a mapped network");
	/* but not another one that carries it */
	list = list_of("10.0.0.0/8");
	check(!allowed("2002:a01:203::1", &list), "6to4 of what is in the list");
	check(!allowed("64:ff9b::10.1.2.3", &list), "NAT64 of what is in the list");
	list = list_of("64:ff9b::/96");
	check(allowed("64:ff9b::10.1.2.3", &list) && !allowed("10.1.2.3", &list), "NAT64 in the list");

	/* Networks of one kind do not let in the other */
	list = list_of("::/0");
	check(allowed("fe80::1", &list) && allowed("::1", &list), "all of IPv6");
	check(!allowed("127.0.0.1", &list) && !allowed("::ffff:127.0.0.1", &list),
		  "::/0 is not IPv4");
	check(!allowed("64:ff9b::7f00:1", &list) && !allowed("64:ff9b:1::7f00:1", &list) &&
		  !allowed("2002:7f00:1::1", &list) && !allowed("::127.0.0.1", &list) &&
		  !allowed("::ffff:0:127.0.0.1", &list), "::/0 is not IPv4 that is written in IPv6");
	check(allowed("64:ff9b::808:808", &list) && allowed("2002:808:808::1", &list),
		  "but that may be public");
	list = list_of("64:ff9b::/95");
	check(!allowed("64:ff9b::7f00:1", &list), "more than NAT64 is not NAT64");
	list = list_of("64:ff9b:1::/48 2002::/16 ::/96");
	check(allowed("64:ff9b:1::7f00:1", &list) && allowed("2002:7f00:1::1", &list) &&
		  allowed("::127.0.0.1", &list), "these three in the list");
	list = list_of("0.0.0.0/0");
	check(allowed("127.0.0.1", &list) && allowed("::ffff:169.254.169.254", &list), "all of IPv4");
	check(!allowed("::1", &list) && !allowed("fd00::1", &list), "0.0.0.0/0 is not IPv6");

	/* Bits after the network do not count; /32 and /128 are one address */
	list = list_of("10.1.2.3/12");
	check(allowed("10.0.0.0", &list) && allowed("10.15.255.255", &list) &&
		  !allowed("10.16.0.0", &list), "10.1.2.3/12");
	list = list_of("127.0.0.1/32,::1/128,127.8.0.0/31");
	check(allowed("127.0.0.1", &list) && !allowed("127.0.0.2", &list), "/32");
	check(allowed("127.8.0.1", &list) && !allowed("127.8.0.2", &list), "/31");
	check(allowed("::1", &list) && !allowed("::3", &list), "/128");
}

static void
test_all_lengths(void)
{
	int			bits;

	/* Each length, at its own border: the last bit inside, the first outside */
	for (bits = 1; bits <= 32; bits++)
	{
		uint32_t	base = UINT32_C(0xf0000000);
		uint32_t	mask = UINT32_C(0xffffffff) << (32 - bits);
		struct in_addr in;
		char		text[40];
		NetworkList list;
		struct sockaddr_in address = {.sin_family = AF_INET};

		in.s_addr = htonl(base);
		snprintf(text, sizeof(text), "%s/%d", inet_ntoa(in), bits);
		list = list_of(text);
		address.sin_addr.s_addr = htonl((base & mask) | ~mask);
		check(address_allowed((struct sockaddr *) &address, &list), "last of %s", text);
		address.sin_addr.s_addr = htonl(base ^ (UINT32_C(1) << (32 - bits)));
		if (base >> 28 == ntohl(address.sin_addr.s_addr) >> 28)
			check(!address_allowed((struct sockaddr *) &address, &list), "outside of %s", text);
	}
	for (bits = 1; bits <= 128; bits++)
	{
		struct sockaddr_in6 address = {.sin6_family = AF_INET6};
		char		text[80];
		NetworkList list;
		int			i;

		snprintf(text, sizeof(text), "fe80::/%d", bits);
		list = list_of(text);
		inet_pton(AF_INET6, "fe80::", &address.sin6_addr);
		for (i = bits; i < 128; i++)
			address.sin6_addr.s6_addr[i / 8] |= 0x80 >> i % 8;
		check(address_allowed((struct sockaddr *) &address, &list), "last of %s", text);
		inet_pton(AF_INET6, "fe80::", &address.sin6_addr);
		address.sin6_addr.s6_addr[(bits - 1) / 8] ^= 0x80 >> (bits - 1) % 8;
		check(!address_allowed((struct sockaddr *) &address, &list) ||
			  (address.sin6_addr.s6_addr[0] & 0xe0) == 0x20, "outside of %s", text);
	}
}

static void
test_junk(void)
{
	static const char *const junk[] = {
		"localhost", "example.com", "10", "10.0.0", "10.0.0.0.0", "256.0.0.1", "10.0.0.1.",
		"010.0.0.1", "0x7f.0.0.1", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8",
		"10.0.0.0/ 8", "10.0.0.0/8x", "10.0.0.0/8/8", "10.0.0.0/99999999999999999999", "/8",
		"10.0.0.0/255.0.0.0", "::1/129", ":::1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::",
		"fe80::1%eth0", "[::1]", "10.0.0.1:80", "*", "10.*", "10.0.0.0-10.0.0.9", "10.0.0.1;::1",
		"10.0.0.1,x", "::ffff:10.0.0.0/129", "1.2.3.4 /8", "\x01", "\xff\xff",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee:ffff/64",
	};
	NetworkList list;
	char		problem[200];
	char		many[2000] = "";
	size_t		i;

	for (i = 0; i < sizeof(junk) / sizeof(junk[0]); i++)
	{
		problem[0] = '\0';
		check(!networks_parse(junk[i], &list, problem, sizeof(problem)), "\"%s\" is read", junk[i]);
		check(problem[0] != '\0', "\"%s\": no reason", junk[i]);
	}
	/* a short buffer is enough for none */
	check(!networks_parse("localhost", &list, problem, 8) && strlen(problem) == 7, "cut off");
	check(networks_parse("", &list, problem, sizeof(problem)) && list.n == 0, "empty");
	check(networks_parse(" ,\t, \r\n", &list, problem, sizeof(problem)) && list.n == 0, "blank");

	for (i = 0; i < NETWORKS_MAX; i++)
		strcat(many, "10.0.0.1 ");
	check(networks_parse(many, &list, problem, sizeof(problem)) && list.n == NETWORKS_MAX, "as many as can be");
	strcat(many, "10.0.0.1");
	check(!networks_parse(many, &list, problem, sizeof(problem)), "one more");
}

/* Two ways to write an address */
static void
check_same(const char *one, const char *other)
{
	struct sockaddr_storage a = address_of(one);
	struct sockaddr_storage b = address_of(other);
	unsigned char bytes[2][16];

	check(address_bytes((struct sockaddr *) &a, bytes[0]) &&
		  address_bytes((struct sockaddr *) &b, bytes[1]) &&
		  memcmp(bytes[0], bytes[1], 16) == 0, "%s is not %s", one, other);
}

void
test_network_rules(void)
{
	struct sockaddr_storage storage = address_of("192.0.2.7");
	struct sockaddr other = {.sa_family = AF_UNIX};
	char		text[64];

	test_special();
	test_lists();
	test_all_lengths();
	test_junk();

	check(!address_allowed(&other, &nothing), "a socket that is not of the Internet");
	check_same("::ffff:1.2.3.4", "1.2.3.4");
	check_same("64:ff9b::1.2.3.4", "1.2.3.4");
	check_same("2002:102:304::1", "1.2.3.4");
	check(!address_bytes(&other, (unsigned char *) text), "bytes of a socket that is not of the Internet");
	address_print((struct sockaddr *) &storage, text, sizeof(text));
	check(strcmp(text, "192.0.2.7") == 0, "%s", text);
	storage = address_of("2001:db8::7");
	address_print((struct sockaddr *) &storage, text, sizeof(text));
	check(strcmp(text, "2001:db8::7") == 0, "%s", text);
	address_print(&other, text, sizeof(text));
	check(strcmp(text, "an address of family 1") == 0, "%s", text);
}
