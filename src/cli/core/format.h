/*
 * format.h
 *		Numbers and times for people.
 */
#ifndef CLI_FORMAT_H
#define CLI_FORMAT_H

#include "core/buffer.h"

extern void format_seconds(Buffer *out, double seconds);
extern void format_count(Buffer *out, double count);
extern void format_time(Buffer *out, const char *timestamp, const char *today);
extern void format_time_exact(Buffer *out, const char *timestamp);
extern void format_iso(Buffer *out, const char *timestamp);

#endif							/* CLI_FORMAT_H */
