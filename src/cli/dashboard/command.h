/*
 * command.h
 *		The command "defer dashboard", for the table in main.c.
 */
#ifndef DASHBOARD_COMMAND_H
#define DASHBOARD_COMMAND_H

#include "core/options.h"

extern const Command command_dashboard;

#endif							/* DASHBOARD_COMMAND_H */
