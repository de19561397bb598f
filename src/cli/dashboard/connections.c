/*
 * connections.c
 *		The open connections of browsers, and how long each may take.
 *
 * The time limit of libmicrohttpd begins anew with each byte, so requests to
 * which a byte is added now and then would keep their connections for ever.
 * Here a connection has CONNECTION_SECONDS from the end of one request to the
 * end of the next (and as much again for the answer), whatever arrives meanwhile.
 * The time of our own work does not count.
 *
 * There are CONNECTIONS_MAX.  Another one takes the place of the connection that
 * has waited longest, among those of the address that has most: a browser sends
 * a request within milliseconds, and opens a new connection where an idle one was
 * closed.  So a client that only opens connections shuts out no other, not even
 * at its own address.
 *
 * A connection is ended by shutdown() of a duplicate of its socket: the library's
 * thread of the connection then sees the end, and closes it.
 */
#include "dashboard/connections.h"

#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"

typedef struct Connection
{
	bool		used;
	int			socket;			/* duplicate; -1: could not be made */
	char		address[CONNECTION_ADDRESS_LEN];
	double		since;			/* clock_seconds() when it began to wait */
	double		limit;			/* seconds that it may wait */
	bool		working;		/* we prepare an answer: it does not wait */
	bool		ended;			/* is shut down, and not closed yet */
} Connection;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Connection connections[CONNECTIONS_LIBRARY_MAX + 1];

/* Shut down a connection; under the lock */
static void
end_connection(Connection *connection)
{
	connection->ended = true;
	if (connection->socket >= 0)
		shutdown(connection->socket, SHUT_RDWR);
}

static int
count_of_address(const char *address)
{
	int			n = 0;

	for (size_t i = 0; i < lengthof(connections); i++)
		n += connections[i].used && !connections[i].ended &&
			strcmp(connections[i].address, address) == 0;
	return n;
}

/* End the connection that has waited longest, of the address with most */
static void
make_room(void)
{
	Connection *victim = NULL;
	int			victim_count = 0;

	for (size_t i = 0; i < lengthof(connections); i++)
	{
		Connection *connection = &connections[i];
		int			count;

		if (!connection->used || connection->ended || connection->working)
			continue;
		count = count_of_address(connection->address);
		if (victim == NULL || count > victim_count ||
			(count == victim_count && connection->since < victim->since))
		{
			victim = connection;
			victim_count = count;
		}
	}
	if (victim != NULL)
		end_connection(victim);
}

static void
read_address(struct MHD_Connection *connection, char *address)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *peer = info != NULL ? info->client_addr : NULL;
	socklen_t	len = sizeof(struct sockaddr_in6);

	if (peer != NULL && peer->sa_family == AF_INET)
		len = sizeof(struct sockaddr_in);
	if (peer == NULL ||
		getnameinfo(peer, len, address, CONNECTION_ADDRESS_LEN, NULL, 0, NI_NUMERICHOST) != 0)
		address[0] = '\0';
}

/* Take a place for a new connection; NULL: there is none */
static Connection *
add_connection(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	Connection *place = NULL;
	int			open = 0;

	for (size_t i = 0; i < lengthof(connections); i++)
	{
		if (!connections[i].used && place == NULL)
			place = &connections[i];
		open += connections[i].used && !connections[i].ended;
	}
	if (place == NULL)
		return NULL;
	if (open >= CONNECTIONS_MAX)
		make_room();
	memset(place, 0, sizeof(*place));
	place->used = true;
	place->socket = info != NULL ? fcntl(info->connect_fd, F_DUPFD_CLOEXEC, 0) : -1;
	place->since = clock_seconds();
	place->limit = CONNECTION_SECONDS;
	read_address(connection, place->address);
	return place;
}

/* Called by the library when a connection is opened and before it is closed */
void
connections_notify(void *cls, struct MHD_Connection *connection, void **context,
				   enum MHD_ConnectionNotificationCode code)
{
	(void) cls;
	pthread_mutex_lock(&lock);
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		*context = add_connection(connection);
	else if (*context != NULL)
	{
		Connection *place = *context;

		if (place->socket >= 0)
			close(place->socket);
		place->used = false;
		*context = NULL;
	}
	pthread_mutex_unlock(&lock);
}

static Connection *
connection_place(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info != NULL ? info->socket_context : NULL;
}

static void
set_waiting(struct MHD_Connection *connection, bool working, double limit)
{
	Connection *place = connection_place(connection);

	if (place == NULL)
		return;
	pthread_mutex_lock(&lock);
	place->working = working;
	place->since = clock_seconds();
	place->limit = limit;
	pthread_mutex_unlock(&lock);
}

/* The request has arrived as a whole: its time stops */
void
connection_received(struct MHD_Connection *connection)
{
	set_waiting(connection, true, 0);
}

/* The answer is on its way: it has a time limit, too */
void
connection_answered(struct MHD_Connection *connection)
{
	set_waiting(connection, false, 2 * CONNECTION_SECONDS);
}

/* The answer was sent: the time for the next request begins */
void
connection_completed(struct MHD_Connection *connection)
{
	set_waiting(connection, false, CONNECTION_SECONDS);
}

/* Return the client's address as text; "" if it is unknown */
const char *
connection_address(struct MHD_Connection *connection)
{
	const Connection *place = connection_place(connection);

	return place != NULL ? place->address : "";
}

/* End the connections that have waited too long; called every second or so */
void
connections_sweep(void)
{
	double		now = clock_seconds();

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < lengthof(connections); i++)
	{
		Connection *connection = &connections[i];

		if (connection->used && !connection->ended && !connection->working &&
			now - connection->since > connection->limit)
			end_connection(connection);
	}
	pthread_mutex_unlock(&lock);
}
