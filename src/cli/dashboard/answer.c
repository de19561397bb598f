/*
 * answer.c
 *		An answer on its way to the browser: status, headers, body.
 */
#include "dashboard/answer.h"

#include <stdlib.h>

#include "dashboard/dashboard.h"
#include "dashboard/page.h"

/* Cookies do not tell ports apart, so the name does */
static char cookie_name[40];

/* Set up answers of a server that listens on a port */
void
answer_init(int port)
{
	snprintf(cookie_name, sizeof(cookie_name), "defer_dashboard_%d", port);
}

const char *
answer_cookie_name(void)
{
	return cookie_name;
}

/* Set the cookie of a session; NULL ends it */
void
answer_set_cookie(Answer *answer, const Session *session)
{
	answer->cookie = xprintf("%s=%s; Path=/; HttpOnly; SameSite=Strict%s%s", cookie_name,
							 session != NULL ? session->id : "",
							 session != NULL ? "" : "; Max-Age=0",
							 dashboard.secure_cookie ? "; Secure" : "");
}

/* Answer with an error page */
void
answer_refuse(Answer *answer, int status, const char *title, const char *text)
{
	answer->status = status;
	page_write_error(&answer->body, NULL, title, text);
}

/* Lead the browser to another page */
void
answer_redirect(Answer *answer, const char *location)
{
	answer->status = MHD_HTTP_SEE_OTHER;
	answer->location = xstrdup(location);
	buffer_add(&answer->body, "");
}

/* Queue an answer, and free it */
enum MHD_Result
answer_send(struct MHD_Connection *connection, Answer *answer)
{
	static const char *const headers[][2] = {
		{"Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self';"
		" connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"},
		{"X-Content-Type-Options", "nosniff"},
		{"X-Frame-Options", "DENY"},
		{"Referrer-Policy", "same-origin"},
		{"Cross-Origin-Opener-Policy", "same-origin"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{"Permissions-Policy", "camera=(), geolocation=(), microphone=()"},
	};
	char	   *body = answer->body.data != NULL ? answer->body.data : xstrdup("");
	struct MHD_Response *response;
	enum MHD_Result result;

	/* the library frees the body */
	response = MHD_create_response_from_buffer(answer->body.len, body, MHD_RESPMEM_MUST_FREE);
	if (response == NULL)
		return MHD_NO;
	for (size_t i = 0; i < lengthof(headers); i++)
		MHD_add_response_header(response, headers[i][0], headers[i][1]);
	MHD_add_response_header(response, "Content-Type", answer->type);
	MHD_add_response_header(response, "Cache-Control",
							answer->keep ? "private, max-age=31536000, immutable" : "no-store");
	if (answer->cookie != NULL)
		MHD_add_response_header(response, "Set-Cookie", answer->cookie);
	if (answer->location != NULL)
		MHD_add_response_header(response, "Location", answer->location);
	if (answer->file != NULL)
	{
		char	   *disposition = xprintf("attachment; filename=\"%s\"", answer->file);

		MHD_add_response_header(response, "Content-Disposition", disposition);
		free(disposition);
	}
	if (answer->authenticate)
		MHD_add_response_header(response, "WWW-Authenticate",
								dashboard.login == LOGIN_PASSWORD ? "Basic realm=\"defer\"" : "Bearer realm=\"defer\"");
	result = MHD_queue_response(connection, answer->status, response);
	MHD_destroy_response(response);
	free(answer->cookie);
	free(answer->location);
	free(answer->file);
	return result;
}
