/*
 * sender_library.c
 *		The library defer_sender: where the sender process begins.
 *
 * This file and those of src/transport/ make a library of their own, so that libcurl
 * and what comes with it (TLS, HTTP/2, Kerberos, LDAP) are loaded by the senders
 * only, and not by the postmaster and every backend of the server.  The library
 * defer is there already: it is in shared_preload_libraries.
 */
#include "postgres.h"

#include "fmgr.h"

#include "process/process.h"
#include "transport/transport.h"

PG_MODULE_MAGIC;

void
defer_sender_main(Datum arg)
{
	defer_sender_run(arg, DEFER_VERSION, &transport);
}
