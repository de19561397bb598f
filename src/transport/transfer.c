/*
 * transfer.c
 *		A transfer: what libcurl is told, what it calls back, and what came of it.
 *
 * An address is checked when a socket is about to be connected to it, and again
 * before something is sent over a connection that was kept: names point where
 * their owners like, and rules change.
 *
 * The callbacks run in the thread that runs the transfer.
 */
#include "transport/transfer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* More than two for each delivery that there may be (defer.max_deliveries) */
#define LOOKUP_THREADS_MAX	5000L

/* Set by transfers_configure() */
static NetworkList allowed_networks;
static char *certificates = NULL;

bool
transfers_configure(const NetworkList *allowed, const char *ca_file)
{
	char	   *copy = NULL;

	if (ca_file != NULL && ca_file[0] != '\0' && (copy = strdup(ca_file)) == NULL)
		return false;
	allowed_networks = *allowed;
	free(certificates);
	certificates = copy;
	return true;
}

/* ------------------------------------------------------------------------
 * Called by libcurl
 * ------------------------------------------------------------------------ */

/* A name is about to be looked up, in a thread of libcurl's */
static int
on_lookup(void *resolver, void *reserved, void *context)
{
	Transfer   *transfer = context;

	(void) resolver;
	(void) reserved;
	__atomic_store_n(&transfer->looking_up, 1, __ATOMIC_RELAXED);
	return 0;
}

/* Check an address; "known" is false if there is no telling now */
static bool
may_connect(const Transfer *transfer, const struct sockaddr *address, bool *known)
{
	int			own = 0;

	*known = true;
	if (transfer->trusted || address_listed(address, &transfer->allowed))
		return true;
	if (!address_public(address))
		return false;
	own = address_is_own(address);
	*known = own >= 0;
	return own == 0;
}

/* Open the socket for an address, which is the one that will be used */
static curl_socket_t
on_open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	Transfer   *transfer = context;
	curl_socket_t fd;
	bool		known;

	(void) purpose;
	__atomic_store_n(&transfer->looking_up, 0, __ATOMIC_RELAXED);
	if (!may_connect(transfer, &address->addr, &known))
	{
		if (known)
			address_print(&address->addr, transfer->refused_address,
						  sizeof(transfer->refused_address));
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd >= 0 && transfer->opened != NULL)
		transfer->opened(transfer, fd);
	return fd;
}

/* Connected, and nothing sent yet; "address" is in numbers */
static int
on_connected(void *context, char *address, char *own_address, int port, int own_port)
{
	Transfer   *transfer = context;
	struct sockaddr_storage there = {0};
	bool		known = false;

	(void) own_address;
	(void) port;
	(void) own_port;
	if (inet_pton(AF_INET, address, &((struct sockaddr_in *) &there)->sin_addr) == 1)
		there.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, address, &((struct sockaddr_in6 *) &there)->sin6_addr) == 1)
		there.ss_family = AF_INET6;
	if (may_connect(transfer, (struct sockaddr *) &there, &known))
		return CURL_PREREQFUNC_OK;
	if (known)
		address_print((struct sockaddr *) &there, transfer->refused_address,
					  sizeof(transfer->refused_address));
	return CURL_PREREQFUNC_ABORT;
}

/* Append as much as fits, or nothing if it does not fit "whole"; false: no memory */
static bool
buffer_add(TransferBuffer *buffer, const char *data, size_t length, bool whole)
{
	if (length > buffer->limit - buffer->length)
	{
		buffer->cut = true;
		length = whole ? 0 : buffer->limit - buffer->length;
	}
	if (buffer->length + length + 1 > buffer->size)
	{
		size_t		size = (buffer->length + length + 1) * 2;
		char	   *grown = realloc(buffer->data, size);

		if (grown == NULL)
			return false;
		buffer->data = grown;
		buffer->size = size;
	}
	memcpy(buffer->data + buffer->length, data, length);
	buffer->length += length;
	buffer->data[buffer->length] = '\0';
	return true;
}

/* Keep a piece of the body; data over the limit ends the transfer */
static size_t
on_body(char *data, size_t size, size_t n, void *context)
{
	Transfer   *transfer = context;

	if (!buffer_add(&transfer->body, data, size * n, false) || transfer->body.cut)
		return 0;
	return size * n;
}

/*
 * Keep a line of the headers, whole or not at all: a secret that is cut would not
 * be recognised.  An answer begins with its status; the one before it, of a
 * redirect or "100 Continue", is forgotten.  Of a mail server's answers the last
 * one that says no is kept as well, in the place of the body.
 */
static size_t
on_header(char *data, size_t size, size_t n, void *context)
{
	Transfer   *transfer = context;
	size_t		length = size * n;

	if (transfer->is_mail || (length > 5 && memcmp(data, "HTTP/", 5) == 0))
	{
		transfer->head.length = 0;
		transfer->head.cut = false;
	}
	if (!buffer_add(&transfer->head, data, length, true))
		return 0;
	if (transfer->is_mail && length > 0 && (data[0] == '4' || data[0] == '5'))
	{
		transfer->body.length = 0;
		if (!buffer_add(&transfer->body, data, length, false))
			return 0;
	}
	return length;
}

/* ------------------------------------------------------------------------
 * Making
 * ------------------------------------------------------------------------ */

/* Append copies of all strings up to a NULL; false: no memory */
static bool
list_add(struct curl_slist **list, const char *const *strings)
{
	for (; strings != NULL && *strings != NULL; strings++)
	{
		struct curl_slist *longer = curl_slist_append(*list, *strings);

		if (longer == NULL)
			return false;
		*list = longer;
	}
	return true;
}

/*
 * Make a multi handle whose lookups wait for no other, and do not keep others
 * waiting.
 *
 * Since libcurl 8.20 they share a pool of 20 threads, which ten hanging names fill
 * (each is looked up for both kinds of addresses), and the end of the handle waits
 * for its threads.  Before, each lookup had a thread of its own.
 */
CURLM *
transfer_create_multi(void)
{
	CURLM	   *multi = curl_multi_init();

#if LIBCURL_VERSION_NUM >= 0x081400
	if (multi != NULL)
	{
		curl_multi_setopt(multi, CURLMOPT_RESOLVE_THREADS_MAX, LOOKUP_THREADS_MAX);
		curl_multi_setopt(multi, CURLMOPT_QUICK_EXIT, 1L);
	}
#endif
	return multi;
}

/* The options that all transfers have */
static bool
set_common(Transfer *transfer, const TransferRequest *request)
{
	CURL	   *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);

	/*
	 * or the end of the transfer, at its time-out for one, waits for the
	 * lookup
	 */
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION, on_lookup);
	curl_easy_setopt(easy, CURLOPT_RESOLVER_START_DATA, transfer);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);

	/*
	 * nothing of the account that the server runs under, nor of its
	 * environment
	 */
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request->timeout);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, request->connect_timeout);
	if (certificates != NULL &&
		curl_easy_setopt(easy, CURLOPT_CAINFO, certificates) != CURLE_OK)
		return false;
	if (request->username != NULL &&
		(curl_easy_setopt(easy, CURLOPT_USERNAME, request->username) != CURLE_OK ||
		 curl_easy_setopt(easy, CURLOPT_PASSWORD,
						  request->password != NULL ? request->password : "") != CURLE_OK))
		return false;
	return curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK &&
		list_add(&transfer->headers, request->headers) &&
		(transfer->headers == NULL ||
		 curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers) == CURLE_OK);
}

static bool
set_method(CURL *easy, const char *method, bool has_body)
{
	if (strcmp(method, "HEAD") == 0)
		return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
	if (strcmp(method, "GET") == 0 && !has_body)
		return curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
	if (strcmp(method, "POST") == 0)
		return curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
			(has_body || curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L) == CURLE_OK);
	return curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK;
}

static bool
set_http(Transfer *transfer, const TransferRequest *request)
{
	CURL	   *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");

	/*
	 * no CURLOPT_PIPEWAIT: all would wait for the first answer of a host that
	 * hangs
	 */
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, request->redirects > 0 ? 1L : 0L);
	curl_easy_setopt(easy, CURLOPT_MAXREDIRS, request->redirects);
	if (request->username != NULL)
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
	if (request->body != NULL &&
		(curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
						  (curl_off_t) request->body_length) != CURLE_OK ||
		 curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body) != CURLE_OK))
		return false;
	return curl_easy_setopt(easy, CURLOPT_USERAGENT, request->user_agent) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "") == CURLE_OK &&
		set_method(easy, request->method, request->body != NULL);
}

static bool
add_text(curl_mime *mime, const char *text, const char *type)
{
	curl_mimepart *part = curl_mime_addpart(mime);

	return part != NULL &&
		curl_mime_data(part, text, strlen(text)) == CURLE_OK &&
		curl_mime_type(part, type) == CURLE_OK &&
		curl_mime_encoder(part, "quoted-printable") == CURLE_OK;
}

/* With credentials TLS is a must; without, it is used where it is offered */
static bool
set_mail(Transfer *transfer, const TransferRequest *request)
{
	CURL	   *easy = transfer->easy;

	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	curl_easy_setopt(easy, CURLOPT_USE_SSL,
					 (long) (request->username != NULL ? CURLUSESSL_ALL : CURLUSESSL_TRY));
	curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
	transfer->mime = curl_mime_init(easy);
	return transfer->mime != NULL &&
		(request->text == NULL ||
		 add_text(transfer->mime, request->text, "text/plain; charset=utf-8")) &&
		(request->html == NULL ||
		 add_text(transfer->mime, request->html, "text/html; charset=utf-8")) &&
		curl_easy_setopt(easy, CURLOPT_MIMEPOST, transfer->mime) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_MAIL_FROM, request->mail_from) == CURLE_OK &&
		list_add(&transfer->recipients, request->recipients) &&
		curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, transfer->recipients) == CURLE_OK;
}

Transfer *
transfer_create(const TransferRequest *request)
{
	Transfer   *transfer = calloc(1, sizeof(Transfer));

	if (transfer == NULL)
		return NULL;
	transfer->easy = curl_easy_init();
	if (transfer->easy == NULL)
	{
		free(transfer);
		return NULL;
	}
	transfer->is_mail = request->is_mail;
	transfer->trusted = request->trusted;
	transfer->allowed = allowed_networks;
	transfer->head.limit = TRANSPORT_HEAD_MAX;
	transfer->body.limit = request->body_limit;
	if (set_common(transfer, request) &&
		(request->is_mail ? set_mail(transfer, request) : set_http(transfer, request)))
		return transfer;
	transfer_free(transfer);
	return NULL;
}

void
transfer_free(Transfer *transfer)
{
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->headers);
	curl_slist_free_all(transfer->recipients);
	curl_mime_free(transfer->mime);
	free(transfer->head.data);
	free(transfer->body.data);
	free(transfer);
}

/* ------------------------------------------------------------------------
 * What came of it
 * ------------------------------------------------------------------------ */

static TransferOutcome
outcome_of_error(CURLcode code, long status)
{
	switch (code)
	{
		case CURLE_OPERATION_TIMEDOUT:
			return TRANSFER_TIMED_OUT;
		case CURLE_URL_MALFORMAT:
		case CURLE_TOO_MANY_REDIRECTS:
			return TRANSFER_IMPOSSIBLE;
		case CURLE_UNSUPPORTED_PROTOCOL:

			/*
			 * a redirect to another scheme; without an answer: one that is
			 * not HTTP
			 */
			return status == 0 ? TRANSFER_FAILED : TRANSFER_IMPOSSIBLE;
		default:
			return TRANSFER_FAILED;
	}
}

/* Note how it ended: at the end, or where it could not be started */
void
transfer_classify(Transfer *transfer, CURLcode code)
{
	TransferResult *result = &transfer->result;
	bool		cut = code == CURLE_WRITE_ERROR && transfer->body.cut;
	long		status = 0;
	curl_off_t	retry_after = 0;

	transfer->code = code;
	(void) curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	result->status = status;
	if (curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK &&
		retry_after > 0)
		result->retry_after = (long) retry_after;
	if (transfer->error[0] == '\0')
		strncpy(transfer->error, code != CURLE_OK ? curl_easy_strerror(code) : "no answer",
				sizeof(transfer->error) - 1);
	if (transfer->refused_address[0] != '\0' && code != CURLE_OK)
		result->outcome = TRANSFER_ADDRESS_REFUSED;
	else if (transfer->is_mail)
	{
		if (code == CURLE_OK)
			result->outcome = TRANSFER_ANSWERED;
		else if (status >= 400)
			result->outcome = code == CURLE_LOGIN_DENIED ? TRANSFER_LOGIN_DENIED :
				TRANSFER_REJECTED;
		else
			result->outcome = outcome_of_error(code, status);
	}
	else if ((code == CURLE_OK || cut) && status != 0)
		result->outcome = TRANSFER_ANSWERED;
	else
		result->outcome = outcome_of_error(code, status);
}

TransferResult *
transfer_result(Transfer *transfer)
{
	TransferResult *result = &transfer->result;

	result->error = transfer->error;
	result->address = transfer->refused_address;
	result->head = transfer->head.data;
	result->head_length = transfer->head.length;
	result->body = transfer->body.data;
	result->body_length = transfer->body.length;
	result->body_cut = transfer->body.cut;
	return result;
}

bool
transfer_leaves_lookup(const Transfer *transfer)
{
	return transfer->started && transfer->code != CURLE_COULDNT_RESOLVE_HOST &&
		__atomic_load_n(&transfer->looking_up, __ATOMIC_RELAXED) != 0;
}
