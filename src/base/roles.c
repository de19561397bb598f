/*
 * roles.c
 *		What a role may see and manage.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"

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

Oid *
roles_of_array(Datum array, int *n)
{
	Datum	   *roles;
	bool	   *nulls;
	Oid		   *result;

	deconstruct_array(DatumGetArrayTypeP(array), REGROLEOID, sizeof(Oid), true, TYPALIGN_INT,
					  &roles, &nulls, n);
	result = palloc(Max(*n, 1) * sizeof(Oid));
	for (int i = 0; i < *n; i++)
		result[i] = DatumGetObjectId(roles[i]);
	return result;
}
