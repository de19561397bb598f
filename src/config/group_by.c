/*
 * group_by.c
 *		The group of a job, by a setting of its function or queue.
 *
 * The group is taken from the arguments as they are stored, so it does not
 * depend on settings of the session.  A number has one text, whatever zeros it
 * was written with: 1 and 1.0 are one group.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/job_kind.h"
#include "config/group_by.h"
#include "function/function.h"

#define METADATA_PREFIX "metadata."

/* The member of the metadata that it names; NULL: it names a parameter */
static const char *
metadata_name(const char *group_by)
{
	size_t		length = strlen(METADATA_PREFIX);

	return strncmp(group_by, METADATA_PREFIX, length) == 0 ? group_by + length : NULL;
}

/* ------------------------------------------------------------------------
 * Checks
 * ------------------------------------------------------------------------ */

void
group_by_check(const char *group_by)
{
	const char *metadata = metadata_name(group_by);

	if (group_by[0] == '\0' || (metadata != NULL && metadata[0] == '\0') ||
		strlen(group_by) > GROUP_MAX_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"group_by\": \"%s\"", group_by),
				 errhint("Give the name of a parameter, or metadata.<name>, of at most %d bytes.",
						 GROUP_MAX_LENGTH)));
}

/* Input parameter of that name, from 0 on; -1: there is none */
static int
parameter_number(const FunctionEntry *entry, const char *name)
{
	for (int i = 0; i < entry->nargs; i++)
	{
		if (strcmp(entry->arg_names[i], name) == 0)
			return i;
	}
	return -1;
}

/* The named parameters of a function, for a hint */
static char *
parameter_names(const FunctionEntry *entry)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < entry->nargs; i++)
	{
		if (entry->arg_names[i][0] != '\0')
			appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", entry->arg_names[i]);
	}
	return list.data;
}

static void
no_such_parameter(const FunctionEntry *entry, const char *name, bool at_enqueue)
{
	char	   *names = parameter_names(entry);

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_PARAMETER),
			 errmsg("function %s has no parameter \"%s\"", entry->signature, name),
			 at_enqueue ?
			 errdetail("The setting \"group_by\" of the function names it, and so the group of the job is not known.") : 0,
			 at_enqueue ? errhint("Change the setting with defer.configure().") :
			 names[0] != '\0' ?
			 errhint("It has %s; \"group_by\" can also be metadata.<name>.", names) :
			 errhint("\"group_by\" can also be metadata.<name>.")));
}

void
group_by_check_function(const char *group_by, const char *signature)
{
	FunctionEntry *entry;

	if (metadata_name(group_by) != NULL)
		return;
	if (name_is_ours(signature))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"%s\" of %s cannot name the group of its jobs",
						group_by, signature),
				 errhint("Use metadata.<name>.")));
	entry = function_by_signature(signature);
	if (entry != NULL && parameter_number(entry, group_by) < 0)
		no_such_parameter(entry, group_by, false);
}

/* The bytes of a group: 1 to GROUP_MAX_LENGTH.  "source" says where it is from */
static void
check_length(Size length, const char *source)
{
	if (length == 0 || length > GROUP_MAX_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("group of a job must have 1 to %d bytes", GROUP_MAX_LENGTH),
				 errdetail("%s has %zu.", source, length)));
}

void
group_check(const text *group)
{
	check_length(VARSIZE_ANY_EXHDR(group), "\"group_key\"");
}

/* ------------------------------------------------------------------------
 * The group of a job
 * ------------------------------------------------------------------------ */

/* The value of a parameter; NULL: not passed */
static JsonbValue *
argument_value(const FunctionEntry *entry, int number, Jsonb *args)
{
	const char *name = entry->arg_names[number];

	if (args == NULL)
		return NULL;
	if (JB_ROOT_IS_OBJECT(args))
		return getKeyJsonValueFromContainer(&args->root, name, strlen(name), NULL);
	return getIthJsonbValueFromContainer(&args->root, number);
}

/* The shortest text of a number: that of 1.0 is that of 1 */
static text *
text_of_number(Numeric number)
{
	Datum		trimmed = DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(number));

	return cstring_to_text(DatumGetCString(DirectFunctionCall1(numeric_out, trimmed)));
}

/* Text of a JSON value, NULL for null.  Error if it is an array or an object */
static text *
group_of_value(const JsonbValue *value, const char *source)
{
	text	   *group;

	switch (value->type)
	{
		case jbvNull:
			return NULL;
		case jbvString:
			group = cstring_to_text_with_len(value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			group = text_of_number(value->val.numeric);
			break;
		case jbvBool:
			group = cstring_to_text(value->val.boolean ? "true" : "false");
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("group of a job must be a string, a number or a boolean"),
					 errdetail("%s, which the setting \"group_by\" names, is an array or an object.",
							   source)));
	}
	check_length(VARSIZE_ANY_EXHDR(group), source);
	return group;
}

text *
group_of_job(const char *signature, const char *function_group_by, const char *queue_group_by,
			 Jsonb *args, Jsonb *metadata)
{
	const char *group_by = function_group_by != NULL ? function_group_by : queue_group_by;
	const char *name;
	JsonbValue *value;

	if (group_by == NULL)
		return NULL;
	name = metadata_name(group_by);
	if (name != NULL)
		value = metadata == NULL || !JB_ROOT_IS_OBJECT(metadata) ? NULL :
			getKeyJsonValueFromContainer(&metadata->root, name, strlen(name), NULL);
	else if (name_is_task(signature))
		value = args == NULL || !JB_ROOT_IS_OBJECT(args) ? NULL :
			getKeyJsonValueFromContainer(&args->root, group_by, strlen(group_by), NULL);
	else
	{
		FunctionEntry *entry = name_is_ours(signature) ? NULL : function_by_signature(signature);
		int			number = entry == NULL ? -1 : parameter_number(entry, group_by);

		if (entry != NULL && number < 0 && function_group_by != NULL)
			no_such_parameter(entry, group_by, true);
		value = number < 0 ? NULL : argument_value(entry, number, args);
	}
	if (value == NULL)
		return NULL;
	return group_of_value(value, psprintf(name != NULL ? "Member \"%s\" of the metadata" :
										  "Parameter \"%s\"", name != NULL ? name : group_by));
}
