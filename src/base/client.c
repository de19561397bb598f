/*
 * client.c
 *		The client of this session: see client.h.
 */
#include "postgres.h"

/* struct Port is the same without GSSAPI, whose headers need not be installed */
#undef ENABLE_GSS
#include "libpq/libpq-be.h"
#include "miscadmin.h"

#include "base/client.h"

pgsocket
client_socket(void)
{
	return MyProcPort == NULL ? PGINVALID_SOCKET : MyProcPort->sock;
}

const char *
client_host(void)
{
	return MyProcPort == NULL || MyProcPort->remote_host == NULL ? "" : MyProcPort->remote_host;
}
