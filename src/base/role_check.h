/*
 * role_check.h
 *		Checks whether the jobs of a role may be run, here and now.
 */
#ifndef DEFER_ROLE_CHECK_H
#define DEFER_ROLE_CHECK_H

#include "postgres.h"

typedef enum OwnerState
{
	OWNER_OK,
	OWNER_GONE,					/* the role does not exist any more */
	OWNER_SUPERUSER,			/* jobs of superusers are switched off */
	OWNER_NO_LOGIN,				/* the last two may change again: its jobs
								 * wait */
	OWNER_NO_CONNECT
} OwnerState;

/* In a transaction */
extern OwnerState role_check_state(Oid role);

/* Of those whose jobs will never run: why, and the SQLSTATE; else NULL */
extern char *role_check_failure(Oid role, OwnerState state, const char **sqlstate);

#endif							/* DEFER_ROLE_CHECK_H */
