#include "cli.h"
bool metrics_collect(PGconn *conn, Buffer *out, Buffer *error) { return true; }
int cmd_metrics(int argc, char **argv) { return 0; }
