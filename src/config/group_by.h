/*
 * group_by.h
 *		The group of a job: what names it, and its text.
 *
 * The setting "group_by" of functions and queues is the name of a parameter, or
 * "metadata." and the name of a member of the job's metadata.
 */
#ifndef GROUP_BY_H
#define GROUP_BY_H

#include "postgres.h"

#include "utils/jsonb.h"

/* Longest name of a group, in bytes */
#define GROUP_MAX_LENGTH	200

/* Check the form of a setting "group_by"; an error says what is wrong */
extern void group_by_check(const char *group_by);

/*
 * The same for the setting of a function with that stored signature: it must have
 * the parameter.  Commands and deliveries have none that can name a group.
 */
extern void group_by_check_function(const char *group_by, const char *signature);

/* Check a group that a user has named */
extern void group_check(const text *group);

/*
 * The group of a job that names none, by the settings of its function, else of
 * its queue; either may be NULL.  args and metadata are those to be stored.
 * Returns NULL if the job is in no group.
 */
extern text * group_of_job(const char *signature, const char *function_group_by,
						   const char *queue_group_by, Jsonb *args, Jsonb *metadata);

#endif							/* GROUP_BY_H */
