/*
 * fuzz_url.c
 *		Fuzz target for URLs, with libcurl beside it.  The input is a text, which ends
 *		at the first NUL byte.
 *
 * What must hold, or the program aborts:
 *		libcurl takes each URL that is good, with that scheme, and finds neither user
 *		nor password in it; where one is told as a problem libcurl finds it, too;
 *		a user that is taken out is the one that libcurl finds, and the rest is good;
 *		a path that does not climb, appended to a URL, stays below it by libcurl's
 *		reading, however often it is decoded.
 */
#include "fuzz.h"
#include "pure/url_check.h"

#include <curl/curl.h>
#include <string.h>

static const char *const schemes[] = {"http", "https", "smtp", "smtps", NULL};
static const char *current_text = "";

/* Returns the part, NULL: it has none; curl_free() it */
static char *
part(CURLU *url, CURLUPart which, unsigned int flags)
{
	char	   *text = NULL;

	return curl_url_get(url, which, &text, flags) == CURLUE_OK ? text : NULL;
}

static void
check_url(const char *text)
{
	UrlProblem	problem = url_check(text, schemes);
	CURLU	   *url = curl_url();
	CURLUcode	code = curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME);
	const char *bare;
	const char *taken;

	if (problem != URL_MALFORMED && problem != URL_WRONG_SCHEME)
	{
		char	   *scheme = part(url, CURLUPART_SCHEME, 0);
		char	   *host = part(url, CURLUPART_HOST, 0);
		char	   *user = part(url, CURLUPART_USER, CURLU_URLDECODE);
		char	   *password = part(url, CURLUPART_PASSWORD, 0);
		bool		known = false;

		must(code == CURLUE_OK);
		must(scheme != NULL && host != NULL);
		for (int i = 0; schemes[i] != NULL; i++)
			known = known || strcmp(schemes[i], scheme) == 0;
		must(known);
		must(problem != URL_GOOD || (user == NULL && password == NULL));
		must(problem != URL_HAS_PASSWORD || password != NULL);
		if (problem == URL_HAS_USER && url_take_user(text, malloc, &bare, &taken))
		{
			/* what stands behind ";" libcurl takes for options of the login */
			must(user == NULL ? strchr(text, '%') != NULL || taken[0] == '\0' :
				 strchr(taken, ';') != NULL || strcmp(user, taken) == 0);
			must(url_check(bare, schemes) == URL_GOOD);
			free((void *) bare);
			free((void *) taken);
		}
		curl_free(scheme);
		curl_free(host);
		curl_free(user);
		curl_free(password);
	}
	curl_url_cleanup(url);
}

static void
check_path(const char *text)
{
	char		whole[2200];
	CURLU	   *url = curl_url();
	char	   *path;

	if ((text[0] == '/' || text[0] == '?') && !url_path_climbs(text))
	{
		snprintf(whole, sizeof(whole), "http://host/a/b%s", text);
		if (curl_url_set(url, CURLUPART_URL, whole, 0) == CURLUE_OK)
		{
			path = part(url, CURLUPART_PATH, 0);
			must(path != NULL && strncmp(path, "/a/b", 4) == 0);
			curl_free(path);
		}
	}
	curl_url_cleanup(url);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char		text[2048];

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	current_text = text;
	check_url(text);
	check_path(text);
	return 0;
}
