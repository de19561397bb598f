/*
 * rate_text.h
 *		Rates as settings have them: text, "none" or such as 100/minute.
 */
#ifndef DEFER_RATE_TEXT_H
#define DEFER_RATE_TEXT_H

#include "postgres.h"

#include "pure/rate.h"

/* Returns the interval that is meant, 0: none; an error names the setting */
extern int64 rate_interval_of_text(const char *setting, const char *value);

/* The rate of two columns that were checked when they were set; NULL: none, 1 */
extern Rate rate_of_values(const char *value, int32 burst);

#endif							/* DEFER_RATE_TEXT_H */
