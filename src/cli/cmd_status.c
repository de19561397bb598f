/*
 * cmd_status.c
 *		defer status
 */
#include "cli.h"

int
cmd_status(int argc, char **argv)
{
	options_parse(argc, argv, NULL, 0, 0, NULL);
	PQfinish(connect_server());
	return CLI_OK;
}
