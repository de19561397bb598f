/*
 * restore_detect.c
 *		A server that was restored from a base backup: nothing fires in it.
 *
 * All that a base backup holds is what its original held: no row can tell the
 * one from the other.  What tells is how the server is started: backup_label is
 * there, or recovery.signal, and no standby.signal, which would say that it is
 * to take over some day.  These files are gone after the first start.  So the
 * postmaster leaves a file of its own, and each database gets a foreign row in
 * defer.origin, as a restored dump has, before its scheduler does anything
 * else.  When all have been looked into the file goes.
 *
 * A copy of the files of a stopped server, a snapshot of a file system or of a
 * machine, a standby that is promoted beside its primary: these cannot be told
 * from the original.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/snapmgr.h"

#include "base/own_sql.h"
#include "lifecycle/lifecycle.h"
#include "shmem/shmem.h"

#define RESTORED_FILE	"defer.restored"

static bool
is_there(const char *file)
{
	struct stat status;

	return stat(file, &status) == 0;
}

static void
leave_file(void)
{
	int			file = BasicOpenFile(RESTORED_FILE, O_CREAT | O_WRONLY | PG_BINARY);

	if (file < 0)
		ereport(FATAL,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", RESTORED_FILE)));
	close(file);
	fsync_fname(RESTORED_FILE, false);
	fsync_fname(".", true);
}

/*
 * Check whether the server was stopped in good order.  Then jobs that it seems
 * to run were interrupted, and none has crashed it.  Not on a standby, which
 * may be promoted after a crash of its primary.
 */
static bool
was_stopped_cleanly(void)
{
	bool		crc_ok;
	ControlFileData *control = get_controlfile(DataDir, &crc_ok);
	bool		clean = crc_ok && control->state == DB_SHUTDOWNED;

	pfree(control);
	return clean;
}

/*
 * In the postmaster, before recovery begins; again after a crash.  Returns false on
 * a standby, and where the server is restored.
 */
bool
restore_detect_at_start(void)
{
	bool		own_data;

	if (IsUnderPostmaster)
		return false;
	own_data = !is_there("standby.signal") && !is_there("backup_label") &&
		!is_there("recovery.signal");
	shared->clean_start = own_data && was_stopped_cleanly();
	if (is_there("standby.signal"))
	{
		/* that of its primary */
		if (is_there(RESTORED_FILE))
			durable_unlink(RESTORED_FILE, LOG);
		return false;
	}
	if (is_there("backup_label") || is_there("recovery.signal"))
	{
		leave_file();
		ereport(LOG,
				(errmsg("this server was restored from a base backup: no job runs and no schedule fires in its databases"),
				 errhint("Call defer.activate() in each that is to do the work from now on.")));
	}
	shared->restored = is_there(RESTORED_FILE);
	return own_data;
}

/*
 * In a scheduler, in a transaction: the database is as one that was restored
 * from a dump, unless the extension was made, or activated, here.
 */
void
restore_detect_mark_database(void)
{
	OwnSql		own;

	PushActiveSnapshot(GetTransactionSnapshot());
	own_sql_begin(&own);
	SPI_connect();
	if (SPI_execute("INSERT INTO defer.origin (id) SELECT pg_catalog.gen_random_uuid()"
					" WHERE NOT EXISTS (SELECT FROM defer.installation i"
					" WHERE i.created_at OPERATOR(pg_catalog.>) pg_catalog.pg_postmaster_start_time())"
					" AND NOT EXISTS (SELECT FROM defer.origin o WHERE NOT EXISTS (SELECT FROM defer.installation i"
					" WHERE i.id OPERATOR(pg_catalog.=) o.id))",
					false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write to defer.origin");
	SPI_finish();
	own_sql_end(&own);
	PopActiveSnapshot();
}

/* In the launcher: every database has been looked into */
void
restore_detect_done(void)
{
	shared->restored = false;
	durable_unlink(RESTORED_FILE, LOG);
}
