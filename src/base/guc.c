/*
 * guc.c
 *		The settings in postgresql.conf.
 *
 * The first two size shared memory and need a restart.  The others are read
 * again on reload; but for one none can be changed in a session, because the
 * processes that obey them are not the session's.
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"

#include "pure/mail_address.h"
#include "pure/network_rules.h"
#include "pure/url_check.h"
#include "base/guc.h"
#include "base/guc_delivery.h"
#include "base/guc_job.h"

int			defer_max_workers = 8;
int			defer_shared_slots = 1024;
int			defer_max_leases = 4096;
bool		defer_enabled = true;
int			defer_worker_idle_timeout = 10000;
int			defer_retention = 7 * 24 * 60;
int			defer_event_retention = 7 * 24 * 60;
bool		defer_synchronous_commit = false;
int			defer_max_crashes = 3;
int			defer_log_level = WARNING;
int			defer_max_payload = 1024;
bool		defer_run_superuser_jobs = true;
char	   *defer_distributed_job = NULL;
int			defer_max_deliveries = TRANSFERS_MAX;
int			defer_max_objects_per_role;
char	   *defer_smtp_url = NULL;
char	   *defer_smtp_password_file = NULL;
char	   *defer_smtp_from = NULL;
char	   *defer_http_allow = NULL;
char	   *defer_http_ca_file = NULL;

static const struct config_enum_entry log_levels[] = {
	{"debug", DEBUG1, false},
	{"info", INFO, false},
	{"notice", NOTICE, false},
	{"warning", WARNING, false},
	{"error", ERROR, false},
	{NULL, 0, false}
};

/* Text settings: what cannot be read is not taken */

static bool
check_http_allow(char **value, void **extra, GucSource source)
{
	NetworkList list;
	char		problem[128];

	if (*value == NULL || networks_parse(*value, &list, problem, sizeof(problem)))
		return true;
	GUC_check_errdetail("%s.", problem);
	GUC_check_errhint("Write addresses and networks separated by commas: 127.0.0.1, 10.0.0.0/8, ::1.");
	return false;
}

/*
 * The server writes a setting into its log whenever it changes: so there must be no
 * password in it, and a value that may have one is not repeated.
 */
static bool
check_smtp_url(char **value, void **extra, GucSource source)
{
	static const char *const schemes[] = {"smtp", "smtps", NULL};

	if (*value == NULL || **value == '\0')
		return true;
	GUC_check_errmsg("invalid value for parameter \"%s\"", "defer.smtp_url");
	switch (url_check(*value, schemes))
	{
		case URL_GOOD:
		case URL_HAS_USER:
			return true;
		case URL_HAS_PASSWORD:
			GUC_check_errdetail("It contains a password, which the server would write into its log.");
			GUC_check_errhint("Write smtp://user@host:port, and put the password into the file that \"defer.smtp_password_file\" names.");
			return false;
		default:
			GUC_check_errhint("Write smtp://host:port or smtps://host:port, with user@ before the host if the server wants a password.");
			return false;
	}
}

static bool
check_smtp_from(char **value, void **extra, GucSource source)
{
	const char *problem;

	if (*value == NULL || **value == '\0' || mail_address_valid(*value, &problem))
		return true;
	GUC_check_errdetail("It is not an e-mail address: %s.", problem);
	return false;
}

/*
 * Define the settings.  Length: one call a setting; to cut it would only hide
 * which there are.
 */
void
guc_define(void)
{
	/*
	 * A session that loads the library by itself cannot have settings that
	 * need a restart; nothing reads them there.
	 */
	const GucContext at_start =
		process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP;

	DefineCustomIntVariable("defer.max_workers",
							"Sets how many workers run jobs at the same time, on the whole server.",
							"Each takes a slot of max_worker_processes.",
							&defer_max_workers, 8, 1, 1000,
							at_start, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("defer.shared_slots",
							"Sets how many ready queues shared memory has room for.",
							NULL,
							&defer_shared_slots, 1024, 64, 262144,
							at_start, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("defer.max_leases",
							"Sets how many jobs of tasks workers outside of the server may hold.",
							"A role may hold as many as it leaves free.",
							&defer_max_leases, 4096, 64, 262144,
							at_start, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("defer.enabled",
							 "Whether schedules fire and jobs are begun.",
							 "Jobs can be enqueued in any case.",
							 &defer_enabled, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("defer.worker_idle_timeout",
							"Sets after which time without a job a worker leaves.",
							NULL,
							&defer_worker_idle_timeout, 10000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("defer.retention",
							"Sets how long finished jobs, attempts and messages are kept.",
							"They are removed by the day (UTC). 0 keeps them forever.",
							&defer_retention, 7 * 24 * 60, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("defer.event_retention",
							"Sets how long events are kept, and their names taken.",
							"0 keeps them forever.",
							&defer_event_retention, 7 * 24 * 60, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomBoolVariable("defer.synchronous_commit",
							 "Whether the commit of each job waits for the disk.",
							 "A job's work and the record of its success are one transaction: off loses neither, it may run a job again after a crash.",
							 &defer_synchronous_commit, false,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("defer.max_crashes",
							"Sets after how many attempts that end with a crash a job is given up.",
							NULL,
							&defer_max_crashes, 3, 1, 1000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);

	/* the only one that is of a session */
	DefineCustomStringVariable("defer.distributed_job",
							   "The job that has sent a statement to this node of Citus.",
							   "Set by defer, with SET LOCAL; 0: a session has sent it.",
							   &defer_distributed_job, "",
							   PGC_USERSET,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							   NULL, NULL, NULL);
	DefineCustomEnumVariable("defer.log_level",
							 "Sets from which level on the messages of jobs go to the server's log.",
							 "All of notice and above are kept in defer.logs, whatever this is. Errors are those of failed attempts.",
							 &defer_log_level, WARNING, log_levels,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("defer.max_payload",
							"Sets the largest arguments, metadata and results of a job.",
							"Larger arguments are refused; larger results are not kept.",
							&defer_max_payload, 1024, 1, 256 * 1024,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomBoolVariable("defer.run_superuser_jobs",
							 "Whether jobs of superusers are run.",
							 "Off: such jobs fail.",
							 &defer_run_superuser_jobs, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("defer.max_deliveries",
							"Sets how many deliveries a database has in flight at the same time.",
							"A role may have as many as it leaves free.",
							&defer_max_deliveries, TRANSFERS_MAX, 4, TRANSFERS_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("defer.max_objects_per_role",
							"Sets how many schedules, queues, endpoints, alerts and functions with settings a role may have, each.",
							"Superusers may have any number.",
							&defer_max_objects_per_role, 1000, 1, INT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("defer.smtp_url",
							   "Sets the server that takes e-mails without an endpoint.",
							   "smtp://host:port, or smtps:// for TLS from the start; user@ before the host.",
							   &defer_smtp_url, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_smtp_url, NULL, NULL);
	DefineCustomStringVariable("defer.smtp_password_file",
							   "Sets the file whose first line is the password for defer.smtp_url.",
							   "Relative paths start at the data directory.",
							   &defer_smtp_password_file, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("defer.smtp_from",
							   "Sets the sender of e-mails that name none.",
							   NULL,
							   &defer_smtp_from, "",
							   PGC_SIGHUP, 0, check_smtp_from, NULL, NULL);
	DefineCustomStringVariable("defer.http_allow",
							   "Sets networks that are not public and to which deliveries may go all the same.",
							   "Addresses and networks, separated by commas.",
							   &defer_http_allow, "",
							   PGC_SIGHUP, 0, check_http_allow, NULL, NULL);
	DefineCustomStringVariable("defer.http_ca_file",
							   "Sets the file of certificate authorities to trust instead of the system's.",
							   NULL,
							   &defer_http_ca_file, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	MarkGUCPrefixReserved("defer");
}
