/*
 * commands.h
 *		The commands, for the table in main.c.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "core/options.h"

/* control.c */
extern const Command command_cancel;
extern const Command command_pause;
extern const Command command_reschedule;
extern const Command command_resume;
extern const Command command_release;
extern const Command command_trigger;

/* cron.c */
extern const Command command_alter_cron;
extern const Command command_cron;
extern const Command command_unschedule;

/* configure.c */
extern const Command command_alter_queue;
extern const Command command_configure;
extern const Command command_create_queue;
extern const Command command_drop_queue;
extern const Command command_reset_group;
extern const Command command_set_group;

/* lists.c */
extern const Command command_functions;
extern const Command command_groups;
extern const Command command_queues;
extern const Command command_workers;

/* mend.c */
extern const Command command_acknowledge;
extern const Command command_errors;
extern const Command command_rerun;
extern const Command command_retry;

/* one file each */
extern const Command command_backfill;
extern const Command command_enqueue;
extern const Command command_job;
extern const Command command_jobs;
extern const Command command_metrics;
extern const Command command_schedules;
extern const Command command_status;
extern const Command command_top;
extern const Command command_wait;
extern const Command command_workflow;

#endif							/* CLI_COMMANDS_H */
