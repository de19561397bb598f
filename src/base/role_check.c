/*
 * role_check.c
 *		Checks whether the jobs of a role may be run, here and now.  The
 *		scheduler asks before it starts a worker, the worker when roles have
 *		changed.
 *
 * Jobs of a role that is gone fail, and so do those of superusers where the
 * administrator has switched them off: neither comes right by itself.  A role
 * that may not log in or connect may do so again tomorrow: its jobs wait, and
 * defer.health says so.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/guc_job.h"
#include "base/role_check.h"

OwnerState
role_check_state(Oid role)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	Form_pg_authid form;
	OwnerState	state = OWNER_OK;

	if (!HeapTupleIsValid(tuple))
		return OWNER_GONE;
	form = (Form_pg_authid) GETSTRUCT(tuple);
	if (form->rolsuper && !defer_run_superuser_jobs)
		state = OWNER_SUPERUSER;
	else if (!form->rolcanlogin)
		state = OWNER_NO_LOGIN;
	else if (!compat_may_connect(MyDatabaseId, role))
		state = OWNER_NO_CONNECT;
	ReleaseSysCache(tuple);
	return state;
}

char *
role_check_failure(Oid role, OwnerState state, const char **sqlstate)
{
	switch (state)
	{
		case OWNER_GONE:
			*sqlstate = "42704";
			return psprintf("role with OID %u, which the job belongs to, does not exist", role);
		case OWNER_SUPERUSER:
			*sqlstate = "42501";
			return psprintf("jobs of superusers are not run (defer.run_superuser_jobs is off), and role \"%s\" is one",
							GetUserNameFromId(role, false));
		default:
			return NULL;
	}
}
