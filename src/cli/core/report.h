/*
 * report.h
 *		Messages on standard error, and the end of the output.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "core/base.h"

extern bool report_quiet;		/* --quiet */

extern void report_set_command(const char *name);
extern void report_error(const char *format,...) CLI_PRINTF(1, 2);
extern void report_usage_error(const char *format,...) CLI_PRINTF(1, 2) CLI_NORETURN;
extern void report_finish_output(void);

#endif							/* CLI_REPORT_H */
