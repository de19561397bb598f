/*
 * harness.h
 *		The unit tests' own: counting, and what the test files offer to main().
 *
 * A check that fails is told with its place and goes on; the program's last
 * line is "N passed, N failed".
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "random.h"

/* One check; the message (printf style) is told when it fails */
extern bool check_at(const char *file, int line, bool ok,
					 const char *format,...)
			__attribute__((format(printf, 4, 5)));

#define check(ok, ...)	check_at(__FILE__, __LINE__, (ok), __VA_ARGS__)

/* "2024-03-31 02:30:00" as seconds since 1970, as if it were UTC, and back */
extern int64_t parse_time(const char *text);
extern const char *show_time(int64_t t);	/* one of a few static buffers */

/* The test files */
extern void test_retry_policy(void);
extern void test_batch_size(void);
extern void test_describe(void);
extern void test_error_pattern(void);
extern void test_fair_share(void);
extern void test_lost_jobs(void);
extern void test_rate(void);
extern void test_http_headers(void);
extern void test_mail_address(void);
extern void test_network_rules(void);
extern void test_next(void);
extern void test_oracle(void);
extern void test_parse(void);
extern void test_pg_cron(void);
extern void test_pool_policy(void);
extern void test_published(void);
extern void test_tzif(void);
extern void test_url_check(void);
extern void test_virtual_time(void);
extern void test_zones(void);

#endif							/* HARNESS_H */
