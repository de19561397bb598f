/*
 * test_url_check.c
 *		URLs of deliveries.
 */
#include "harness.h"
#include "pure/url_check.h"

#include <stdlib.h>
#include <string.h>

static const char *const http[] = {"http", "https", NULL};
static const char *const smtp[] = {"smtp", "smtps", NULL};

static void
url(const char *text, UrlProblem expected)
{
	UrlProblem	got = url_check(text, strncmp(text, "smtp", 4) == 0 ? smtp : http);

	check(got == expected, "\"%s\" is %d, not %d", text, got, expected);
}

static void
test_urls(void)
{
	static const char *const good[] = {
		"http://example.com", "https://example.com/", "HTTPS://Example.COM/a?b#c", "http://a",
		"http://127.0.0.1:8080/x", "http://[::1]", "http://[2001:db8::7]:443/", "http://a:1",
		"http://a:65535", "http://a_b-c.example/", "http://b\xc3\xbc" "cher.example/\xc3\xa4",
		"http://a?x", "http://a#x", "http://a/b:c@d", "http://a/?q=http://b", "http://a/'\"<>\\^`{|}",
		"http://example.com./", "smtp://mail", "smtps://mail.example:465", "http://a/%zz",
	};
	static const char *const malformed[] = {
		"", "http", "http:", "http:/", "http://", "://a", "//a", "a", "http//a", "http:///a",
		"http://?a", "http://:80", "http://a:", "http://a:0", "http://a:65536", "http://a:80x",
		"http://a:123456", "http://a b", "http://a/b c", "http://a/\t", "http://a\n", " http://a",
		"http://a\x7f", "http://[::1", "http://[::1]x", "http://[::1]:", "http://[1.2.3.4]", "http://[]",
		"http://[::g]", "http://a..b", "http://.a", "http://a%20b", "http://a,b", "http://a\\b", "1ttp://a",
		"ht tp://a", "http://a@", "http://u@:80", "http://u:p@", "http://a!b",
	};
	char		host[300] = "http://";

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		url(good[i], URL_GOOD);
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
		url(malformed[i], URL_MALFORMED);
	url("ftp://a", URL_WRONG_SCHEME);
	url("httpss://a", URL_WRONG_SCHEME);
	url("htt://a", URL_WRONG_SCHEME);
	url("file:///etc/passwd", URL_WRONG_SCHEME);
	url("file://a/etc/passwd", URL_WRONG_SCHEME);
	url("http://u@a", URL_HAS_USER);
	url("http://u%40b@a:1/", URL_HAS_USER);
	url("http://@a", URL_HAS_USER);
	url("http://u:p@a", URL_HAS_PASSWORD);
	url("http://u:@a", URL_HAS_PASSWORD);
	url("http://u:p@x@a", URL_MALFORMED);
	url("smtp://u:p@a", URL_HAS_PASSWORD);
	memset(host + 7, 'a', 255);
	url(host, URL_GOOD);
	host[7 + 255] = 'a';
	url(host, URL_MALFORMED);
}

static void
taken(const char *text, const char *expected_bare, const char *expected_user)
{
	const char *bare = NULL;
	const char *user = NULL;
	bool		found = url_take_user(text, malloc, &bare, &user);

	check(found == (expected_user != NULL), "\"%s\": a user is %s", text, found ? "found" : "not found");
	if (found && expected_user != NULL)
		check(strcmp(bare, expected_bare) == 0 && strcmp(user, expected_user) == 0,
			  "\"%s\": \"%s\", \"%s\"", text, bare, user);
	free((void *) bare);
	free((void *) user);
}

static void
test_users(void)
{
	taken("smtp://mail", NULL, NULL);
	taken("smtp://mail/a@b", NULL, NULL);
	taken("smtp://ann@mail:25", "smtp://mail:25", "ann");
	taken("smtps://ann%40example.org@mail/", "smtps://mail/", "ann@example.org");
	taken("smtp://a%zz%4@mail", "smtp://mail", "a%zz%4");
	taken("smtp://%c3%A4@mail", "smtp://mail", "\xc3\xa4");
	taken("smtp://ann:pass@mail", "smtp://mail", "ann");
	taken("smtp://@mail", "smtp://mail", "");
	taken("nothing", NULL, NULL);
}

static void
test_paths(void)
{
	static const char *const climbing[] = {
		"/..", "/.", "/../x", "/./x", "/a/..", "/a/../b", "/..?q", "/..#f", "/%2e%2e/x", "/%2E./x",
		"/.%2e", "/..;/x", "/..;a=b/x", "/.;/x", "/..%3b/x", "/..%3B", "/..\\x", "/..%5cx", "/..%2fx",
		"/a%2f..%2fb", "/a\\..\\b", "/a%5C..", "\\..", "/a/..;x?y",
	};
	static const char *const staying[] = {
		"", "/", "/a", "/a.b", "/...", "/..a", "/a..", "/.a", "/a./b", "/%2e%2e%2e/x", "?..", "?/../x",
		"#/..", "/a?x=/../y", "/;..", "/a;..", "/%2ea", "/.%2ea", "/a%2f%2e%2eb",
	};

	for (size_t i = 0; i < sizeof(climbing) / sizeof(climbing[0]); i++)
		check(url_path_climbs(climbing[i]), "\"%s\" stays", climbing[i]);
	for (size_t i = 0; i < sizeof(staying) / sizeof(staying[0]); i++)
		check(!url_path_climbs(staying[i]), "\"%s\" climbs", staying[i]);
}

void
test_url_check(void)
{
	test_urls();
	test_users();
	test_paths();
}
