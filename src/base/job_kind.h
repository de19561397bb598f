/*
 * job_kind.h
 *		Kinds of jobs, and the functions that jobs of some kinds carry.
 */
#ifndef DEFER_JOB_KIND_H
#define DEFER_JOB_KIND_H

#include "postgres.h"

/* What kind of work a job is (job.kind) */
#define JOB_FUNCTION	'f'
#define JOB_PROCEDURE	'p'
#define JOB_COMMAND		'c'
#define JOB_HTTP		'h'
#define JOB_EMAIL		'e'
#define JOB_SLACK		's'
#define JOB_TASK		't'		/* for workers outside of the server */
#define JOB_WORKFLOW	'w'		/* no process runs it: it ends after its steps */

/* The function name that command jobs carry; their statement is args->>'sql' */
#define COMMAND_FUNCTION "defer.command"

/* Deliveries are jobs that the sender sends; they carry these as function */
#define HTTP_FUNCTION	"defer.http"
#define EMAIL_FUNCTION	"defer.email"
#define SLACK_FUNCTION	"defer.slack"

/* What workflows carry */
#define WORKFLOW_FUNCTION	"defer.workflow"

static inline bool
kind_is_delivery(char kind)
{
	return kind == JOB_HTTP || kind == JOB_EMAIL || kind == JOB_SLACK;
}

/* Check for a kind of job that the workers of the server do not take */
static inline bool
kind_is_outside(char kind)
{
	return kind_is_delivery(kind) || kind == JOB_TASK;
}

/* Check for a kind of job that may wait for jobs of its own: AFTER_FAILURE_OWN */
static inline bool
kind_has_own(char kind)
{
	return kind == JOB_PROCEDURE || kind == JOB_WORKFLOW;
}

static inline bool
name_is_delivery(const char *function)
{
	return strcmp(function, HTTP_FUNCTION) == 0 || strcmp(function, EMAIL_FUNCTION) == 0 ||
		strcmp(function, SLACK_FUNCTION) == 0;
}

/* Check for one of our functions, which jobs carry without its parameters */
static inline bool
name_is_ours(const char *function)
{
	return strcmp(function, COMMAND_FUNCTION) == 0 || strcmp(function, WORKFLOW_FUNCTION) == 0 ||
		name_is_delivery(function);
}

/*
 * Check for a task in the name that a job carries as function: it is neither a
 * signature, which ends with a parenthesis, nor one of ours.
 */
static inline bool
name_is_task(const char *function)
{
	const size_t length = strlen(function);

	return length > 0 && function[length - 1] != ')' && !name_is_ours(function);
}

#define DEFAULT_QUEUE	"default"

#endif							/* DEFER_JOB_KIND_H */
