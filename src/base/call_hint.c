/*
 * call_hint.c
 *		Hints for calls of defer's functions that the server finds no function for,
 *		because a driver has sent an argument of another type: a number where an interval
 *		is wanted, or json where jsonb is.
 *
 * The parser raises that error before it calls us, and a function of ours that takes
 * such a type, too, would make parameters without a type ambiguous.  So the hint of the
 * error is replaced on its way to the client.  The error's text is all that can be
 * looked at there: the catalogs cannot be read any more.
 *
 * The hook is called for what goes to the server's log only, so there are no hints where
 * log_min_messages is above ERROR.  Nothing else is called for each error: there is no
 * hook before parse analysis in which a callback of the error context could be put.
 */
#include "postgres.h"

#include "utils/elog.h"
#include "utils/memutils.h"

#include "base/call_hint.h"

/* Longest hint */
#define HINT_MAX	256

static emit_log_hook_type prev_emit_log_hook = NULL;

/* Parameters that are intervals, wherever there is one of that name */
static const char *const intervals[] = {
	"backlog", "catch_up_window", "connect_timeout", "debounce_max", "delay", "discard_after",
	"duration", "extend", "group_window", "initial_interval", "jitter", "key_for", "lease",
	"max_duration", "max_interval", "retry_in", "step", "step_waits", "timeout"
};

/* Those of them that are given by position; n counts from 0 */
static const struct
{
	const char *function;
	int			n;
	const char *parameter;
}			by_position[] = {
	{"await", 1, "timeout"},
	{"await_any", 1, "timeout"},
	{"heartbeat", 3, "extend"},
	{"heartbeat_many", 2, "extend"},
	{"release", 2, "delay"},
	{"sleep", 1, "duration"},
	{"snooze", 0, "delay"},
	{"take", 3, "lease"},
	{"wait_event", 2, "timeout"},
	{"wait_for_work", 1, "timeout"},
};

static bool
is_one_of(const char *word, const char *const *words, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(word, words[i]) == 0)
			return true;
	}
	return false;
}

/* Returns the name of an interval of that name or place; NULL: it is none */
static const char *
interval_name(const char *function, int n, const char *name)
{
	if (name != NULL)
		return is_one_of(name, intervals, lengthof(intervals)) ? name : NULL;
	for (int i = 0; i < lengthof(by_position); i++)
	{
		if (by_position[i].n == n && strcmp(by_position[i].function, function) == 0)
			return by_position[i].parameter;
	}
	return NULL;
}

/* Write the hint for argument n, "name => type" or "type"; returns whether there is one */
static bool
hint_for(const char *function, int n, char *argument, char *hint)
{
	static const char *const numbers[] = {"smallint", "integer", "bigint", "numeric", "real", "double precision"};
	char	   *arrow = strstr(argument, " => ");
	char	   *type = arrow == NULL ? argument : arrow + strlen(" => ");
	const char *interval;

	if (arrow != NULL)
		*arrow = '\0';
	if (strcmp(type, "json") == 0 || strcmp(type, "json[]") == 0)
	{
		snprintf(hint, HINT_MAX, "Cast it from %s to jsonb%s.", type, type + strlen("json"));
		return true;
	}
	interval = interval_name(function, n, arrow == NULL ? NULL : argument);
	if (interval == NULL || !is_one_of(type, numbers, lengthof(numbers)))
		return false;
	snprintf(hint, HINT_MAX,
			 "\"%s\" is an interval: give a text such as '90 seconds', or make_interval(secs => number).",
			 interval);
	return true;
}

/*
 * Write the hint for a call as the error shows it, "function defer.x(type, name => type)
 * does not exist" in any language; returns whether there is one
 */
static bool
make_hint(const char *message, char *hint)
{
	char		call[1024];
	const char *ours = strstr(message, " defer.");
	char	   *argument;
	char	   *end;

	if (ours == NULL)
		return false;
	strlcpy(call, ours + strlen(" defer."), sizeof(call));
	argument = strchr(call, '(');
	end = strrchr(call, ')');
	if (argument == NULL || end == NULL || end < argument)
		return false;
	*argument++ = *end = '\0';
	for (int n = 0; argument != NULL; n++)
	{
		char	   *next = strstr(argument, ", ");

		if (next != NULL)
		{
			*next = '\0';
			next += strlen(", ");
		}
		if (hint_for(call, n, argument, hint))
			return true;
		argument = next;
	}
	return false;
}

/* Called in the middle of ereport(): nothing here throws */
static void
replace_hint(ErrorData *edata)
{
	char		hint[HINT_MAX];

	if (edata->elevel == ERROR && edata->sqlerrcode == ERRCODE_UNDEFINED_FUNCTION &&
		edata->message != NULL && make_hint(edata->message, hint))
	{
		const Size	size = strlen(hint) + 1;
		char	   *copy = MemoryContextAllocExtended(edata->assoc_context, size,
													  MCXT_ALLOC_NO_OOM);

		if (copy != NULL)
			edata->hint = memcpy(copy, hint, size);
	}
	if (prev_emit_log_hook != NULL)
		prev_emit_log_hook(edata);
}

void
call_hint_init(void)
{
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = replace_hint;
}
