/*
 * arguments.c
 *		Arguments of the calls of workers outside of the server: see task_call.h.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/job_kind.h"
#include "config/settings_cache.h"
#include "config/task.h"
#include "shmem/leases.h"
#include "shmem/shmem.h"
#include "task/task_call.h"

/* Length of a lease, in microseconds */
#define LEASE_SHORTEST	USECS_PER_SEC
#define LEASE_LONGEST	(7 * USECS_PER_DAY)

static int
compare_numbers(const void *a, const void *b)
{
	const int32 x = *(const int32 *) a;
	const int32 y = *(const int32 *) b;

	return x < y ? -1 : x > y;
}

/* Returns the number of a task that the current user may work on */
static int32
number_of_task(const char *name)
{
	const TaskSettings *task = task_find(name);

	if (task == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("task \"%s\" does not exist", name),
				 errhint("Its owner makes it with defer.create_task().")));
	if (!task_usable_by(task, GetUserId(), TASK_WORK))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to work on task \"%s\"", name),
				 errhint("Its owner can allow it with defer.grant_task(name, role, 'work').")));
	return function_settings(name)->id;
}

/* The names in an array; error if one is NULL */
static char **
names_in(Datum array, const char *parameter, int *n)
{
	Datum	   *values;
	bool	   *nulls;
	char	  **names;

	args_text_array(array, &values, &nulls, n);
	names = palloc(Max(*n, 1) * sizeof(char *));
	for (int i = 0; i < *n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("\"%s\" must not contain NULL", parameter)));
		names[i] = TextDatumGetCString(values[i]);
	}
	return names;
}

/* The tasks that are named, or all that the current user may work on */
static void
read_tasks(FunctionCallInfo fcinfo, int argument, ReadyTasks *tasks)
{
	char	  **names = NULL;
	int32	   *numbers;
	int			n = 0;
	int			nnumbers = 0;

	if (!PG_ARGISNULL(argument))
		names = names_in(PG_GETARG_DATUM(argument), "tasks", &n);
	else
	{
		const TaskSettings *const *all = task_all(&n);

		names = palloc(Max(n, 1) * sizeof(char *));
		for (int i = 0; i < n; i++)
		{
			names[i] = NULL;
			if (task_usable_by(all[i], GetUserId(), TASK_WORK))
				names[i] = pstrdup(all[i]->name);
		}
	}
	numbers = palloc(Max(n, 1) * sizeof(int32));
	for (int i = 0; i < n; i++)
	{
		if (names[i] != NULL)
			numbers[nnumbers++] = number_of_task(names[i]);
	}
	qsort(numbers, nnumbers, sizeof(int32), compare_numbers);
	tasks->functions = numbers;
	tasks->nfunctions = nnumbers;
}

static void
read_queues(FunctionCallInfo fcinfo, int argument, ReadyTasks *tasks)
{
	char	  **names;
	int32	   *numbers;
	int			n;

	tasks->nqueues = -1;
	if (PG_ARGISNULL(argument))
		return;
	names = names_in(PG_GETARG_DATUM(argument), "queues", &n);
	numbers = palloc((n + 1) * sizeof(int32));
	tasks->nqueues = 0;
	for (int i = 0; i < n; i++)
	{
		const QueueSettings *queue = queue_settings(names[i]);

		if (!queue->found)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("queue \"%s\" does not exist", names[i]),
					 errhint("Make it with defer.create_queue().")));
		numbers[tasks->nqueues++] = queue->id;

		/* jobs of before "default" had a row have 0 */
		if (strcmp(names[i], DEFAULT_QUEUE) == 0 && queue->id != 0 && i == n - 1)
			numbers[tasks->nqueues++] = 0;
	}
	qsort(numbers, tasks->nqueues, sizeof(int32), compare_numbers);
	tasks->queues = numbers;
}

void
task_read_wanted(FunctionCallInfo fcinfo, int tasks_argument, int queues_argument,
				 ReadyTasks *tasks)
{
	read_tasks(fcinfo, tasks_argument, tasks);
	read_queues(fcinfo, queues_argument, tasks);
}

int64
task_read_length(FunctionCallInfo fcinfo, int argument, const char *name)
{
	int64		length = setting_interval(name, PG_GETARG_INTERVAL_P(argument));

	if (length < LEASE_SHORTEST || length > LEASE_LONGEST)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be between one second and seven days", name)));
	return length;
}

char *
task_read_worker(FunctionCallInfo fcinfo, int argument)
{
	char	   *worker = args_text(fcinfo, argument);

	if (worker != NULL)
		args_check_name("worker", worker, LEASE_WORKER_MAX - 1);
	return worker;
}

void
task_check_loaded(void)
{
	if (shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("defer is not in shared_preload_libraries"),
				 errhint("Add defer to shared_preload_libraries in postgresql.conf and restart the server.")));
}
