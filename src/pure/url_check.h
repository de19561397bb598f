/*
 * url_check.h
 *		URLs of deliveries, as far as they can be checked before they are used.
 *		Pure: no server in it.
 */
#ifndef URL_CHECK_H
#define URL_CHECK_H

#include <stdbool.h>
#include <stddef.h>

typedef enum UrlProblem
{
	URL_GOOD = 0,
	URL_MALFORMED,
	URL_WRONG_SCHEME,
	URL_HAS_USER,				/* user@ before the host */
	URL_HAS_PASSWORD			/* user:password@ */
} UrlProblem;

/*
 * Check that a text is an absolute URL of one of these schemes (lower case, up to
 * a NULL): scheme://host[:port][/path][?query][#fragment].  A user and a password
 * before the host are told as problems; all else is right then.
 *
 * Stricter than libcurl, which reads the URL when it is used: a URL that is
 * good here, libcurl takes apart in the same way.
 */
extern UrlProblem url_check(const char *url, const char *const *schemes);

/*
 * Take the user out of a URL, decoded: scheme://user@host becomes scheme://host.
 * False: there is none.  Both are allocated by a function like malloc(), which
 * must not return NULL.
 */
extern bool url_take_user(const char *url, void *(*allocate) (size_t), const char **bare,
						  const char **user);

/*
 * Check whether a path and query that are appended to a URL could lead out of
 * the URL's path.  True for a segment "." or "..", also where dots or
 * separators are written as %2e, %2f or %5c, where "\" separates segments, and
 * with parameters (";") behind the dots: some servers take these away first.
 */
extern bool url_path_climbs(const char *path);

#endif							/* URL_CHECK_H */
