/*
 * roles.h
 *		What a role may see and manage.
 */
#ifndef DEFER_ROLES_H
#define DEFER_ROLES_H

/* Check whether the current user may see and manage objects of that role */
extern bool role_may_manage(Oid owner); /* member of it, or superuser */
extern bool role_may_see(Oid owner);	/* the same, or pg_monitor */

/* The roles in an array of regrole, in the current memory context; *n: how many */
extern Oid *roles_of_array(Datum array, int *n);

#endif							/* DEFER_ROLES_H */
