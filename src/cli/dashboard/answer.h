/*
 * answer.h
 *		An answer on its way to the browser.
 */
#ifndef DASHBOARD_ANSWER_H
#define DASHBOARD_ANSWER_H

#include "core/buffer.h"
#include "dashboard/session.h"

#include <microhttpd.h>

typedef struct Answer
{
	int			status;
	const char *type;
	Buffer		body;
	char	   *cookie;			/* allocated; NULL: none */
	char	   *location;		/* allocated; NULL: none */
	char	   *file;			/* save the body as that; allocated; NULL:
								 * show it */
	bool		keep;			/* the browser may keep it */
	bool		authenticate;	/* ask for the token, or role and password */
} Answer;

extern void answer_init(int port);
extern const char *answer_cookie_name(void);
extern void answer_set_cookie(Answer *answer, const Session *session);
extern void answer_refuse(Answer *answer, int status, const char *title, const char *text);
extern void answer_redirect(Answer *answer, const char *location);
extern enum MHD_Result answer_send(struct MHD_Connection *connection, Answer *answer);

#endif							/* DASHBOARD_ANSWER_H */
