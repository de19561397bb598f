/*
 * html.h
 *		HTML of escaped text, and of numbers and times for people.
 */
#ifndef DASHBOARD_HTML_H
#define DASHBOARD_HTML_H

#include "core/buffer.h"

extern void html_text(Buffer *out, const char *value);
extern void html_field(Buffer *out, const char *value);
extern void html_block(Buffer *out, const char *value);
extern void html_add(Buffer *out, const char *format,...) CLI_PRINTF(2, 3);
extern void html_url(Buffer *out, const char *value);
extern void html_json(Buffer *out, const char *json);
extern void html_time(Buffer *out, const char *timestamp, double now);
extern void html_clock(Buffer *out, const char *timestamp, double now);
extern void html_clock_exact(Buffer *out, const char *timestamp, double now);
extern void html_seconds(Buffer *out, double seconds);
extern void html_count(Buffer *out, double count);
extern void html_count_about(Buffer *out, double count, bool about);
extern void html_function(Buffer *out, const char *signature);
extern void html_state(Buffer *out, const char *state);

#endif							/* DASHBOARD_HTML_H */
