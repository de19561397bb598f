/*
 * roles.c
 *		What a role may see and manage.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/acl.h"

#include "base/roles.h"

bool
role_may_manage(Oid role)
{
	return has_privs_of_role(GetUserId(), role);
}

bool
role_may_see(Oid role)
{
	return has_privs_of_role(GetUserId(), role) ||
		has_privs_of_role(GetUserId(), ROLE_PG_MONITOR);
}
