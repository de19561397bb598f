/*
 * login.h
 *		Who asks: logins, and what /metrics is asked with.
 */
#ifndef DASHBOARD_LOGIN_H
#define DASHBOARD_LOGIN_H

#include "dashboard/answer.h"
#include "dashboard/request.h"

extern void login_show(Answer *answer, const Request *request);
extern void login_run(struct MHD_Connection *connection, Request *request, Answer *answer);
extern void login_metrics(struct MHD_Connection *connection, Session *session, Answer *answer);

#endif							/* DASHBOARD_LOGIN_H */
