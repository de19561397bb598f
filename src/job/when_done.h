/*
 * when_done.h
 *		Jobs that begin when a batch is over: job/when_done.c.
 */
#ifndef WHEN_DONE_H
#define WHEN_DONE_H

#include "postgres.h"

struct Job;

/*
 * Enqueue another job, which is made but has no id, that begins once this job, which
 * has just been enqueued, and its batch have ended.
 */
extern void when_done_of_job(const struct Job *job, const struct Job *after);

/* The same with a new job of the current role, of a function without arguments */
extern void when_done_of_new(const struct Job *job, const char *function);

#endif							/* WHEN_DONE_H */
