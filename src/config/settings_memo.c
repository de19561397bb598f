/*
 * settings_memo.c
 *		Whose settings were looked up last: see settings_memo.h.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "config/settings_changes.h"
#include "config/settings_memo.h"

static inline bool
is_text(const char *string, const text *value)
{
	return strlen(string) == VARSIZE_ANY_EXHDR(value) &&
		memcmp(string, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)) == 0;
}

bool
settings_memo_holds(const SettingsMemo *memo, const Job *job)
{
	return memo->function != NULL && memo->generation == settings_generation() &&
		is_text(memo->function, job->function) && is_text(memo->queue, job->queue);
}

static void
set_name(char **name, const text *value)
{
	char	   *old = *name;

	*name = NULL;
	if (old != NULL)
		pfree(old);
	*name = MemoryContextAlloc(TopMemoryContext, VARSIZE_ANY_EXHDR(value) + 1);
	memcpy(*name, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	(*name)[VARSIZE_ANY_EXHDR(value)] = '\0';
}

uint64
settings_memo_begin(SettingsMemo *memo, const Job *job)
{
	memo->generation = 0;
	set_name(&memo->queue, job->queue);
	set_name(&memo->function, job->function);
	return settings_generation();
}

void
settings_memo_end(SettingsMemo *memo, uint64 generation)
{
	memo->generation = generation;
}
