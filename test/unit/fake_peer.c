/*
 * fake_peer.c
 *		See fake_peer.h: one process, one thread, and no look at the clock.
 */
#include "fake_peer.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONNECTIONS_MAX 512
#define LISTENERS		3

typedef struct Connection
{
	int			fd;
	bool		is_mail;
	bool		in_message;
	int			meet;			/* of the message: see fake_peer.h; 0: none */
	bool		waits;			/* for the others to meet */
	bool		drop;
	size_t		length;
	char		line[64 * 1024];
} Connection;

static Connection *connections[CONNECTIONS_MAX];
static int	nconnections = 0;
static pid_t child = 0;

static void
say(Connection *connection, const char *text)
{
	size_t		length = strlen(text);

	while (length > 0)
	{
		ssize_t		n = send(connection->fd, text, length, MSG_NOSIGNAL);

		if (n <= 0)
			return;				/* the end of file will be read */
		text += n;
		length -= (size_t) n;
	}
}

/* All that wait for that many are answered, if there are so many */
static void
meet(int wanted)
{
	int			n = 0;

	for (int i = 0; i < nconnections; i++)
		n += connections[i]->waits && connections[i]->meet == wanted;
	for (int i = 0; n >= wanted && i < nconnections; i++)
	{
		if (connections[i]->waits && connections[i]->meet == wanted)
		{
			connections[i]->waits = false;
			say(connections[i], "250 kept\r\n");
		}
	}
}

/* Returns false if the connection is to be closed */
static bool
mail_line(Connection *connection, const char *line)
{
	const char *name = strchr(line, '<');

	if (connection->in_message)
	{
		if (strcmp(line, ".") != 0)
			return true;
		connection->in_message = false;
		if (connection->meet == 0)
			say(connection, "250 kept\r\n");
		else
		{
			connection->waits = true;
			meet(connection->meet);
		}
		return true;
	}
	if (strncmp(line, "RCPT", 4) == 0 && name != NULL)
	{
		connection->meet = 0;
		if (strncmp(name, "<hang", 5) == 0)
			return true;
		if (strncmp(name, "<meet", 5) == 0)
			connection->meet = atoi(name + 5);
		connection->drop = strncmp(name, "<drop", 5) == 0;
		say(connection, strncmp(name, "<perm", 5) == 0 ? "550 no such user\r\n" : "250 ok\r\n");
	}
	else if (strcmp(line, "DATA") == 0)
	{
		if (connection->drop)
			return false;
		connection->in_message = true;
		say(connection, "354 go on\r\n");
	}
	else if (strcmp(line, "QUIT") == 0)
	{
		say(connection, "221 bye\r\n");
		return false;
	}
	else
		say(connection, "250 ok\r\n");
	return true;
}

static void
repeat(Connection *connection, const char *text, int n)
{
	size_t		length = strlen(text);
	char	   *all = malloc(length * (size_t) n + 1);

	for (int i = 0; i < n; i++)
		memcpy(all + length * (size_t) i, text, length);
	all[length * (size_t) n] = '\0';
	say(connection, all);
	free(all);
}

/* A blank line ends a request; only its first line counts */
static bool
http_line(Connection *connection, const char *line)
{
	static char path[1024];
	char		head[1200];

	if (sscanf(line, "GET %1000s HTTP", path) == 1 || line[0] != '\0')
		return true;
	if (strncmp(path, "/retry/", 7) == 0)
	{
		char	   *blank;

		while ((blank = strstr(path, "%20")) != NULL)
		{
			*blank = ' ';
			memmove(blank + 1, blank + 3, strlen(blank + 3) + 1);
		}
		snprintf(head, sizeof(head), "HTTP/1.1 503 later\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n",
				 path + 7);
		say(connection, head);
	}
	else if (strncmp(path, "/bytes/", 7) == 0)
	{
		snprintf(head, sizeof(head), "HTTP/1.1 200 ok\r\nContent-Length: %s\r\n\r\n", path + 7);
		say(connection, head);
		repeat(connection, "x", atoi(path + 7));
	}
	else if (strncmp(path, "/lines/", 7) == 0)
	{
		say(connection, "HTTP/1.1 200 ok\r\nContent-Length: 0\r\n");
		repeat(connection, "a: secret-of-many-bytes\r\n", atoi(path + 7));
		say(connection, "\r\n");
	}
	return true;
}

/* Read what there is; false: the connection is over */
static bool
serve(Connection *connection)
{
	ssize_t		n = recv(connection->fd, connection->line + connection->length,
						 sizeof(connection->line) - connection->length - 1, 0);
	char	   *end;

	if (n <= 0)
		return false;
	connection->length += (size_t) n;
	connection->line[connection->length] = '\0';
	while ((end = strstr(connection->line, "\r\n")) != NULL)
	{
		*end = '\0';
		if (!(connection->is_mail ? mail_line : http_line) (connection, connection->line))
			return false;
		connection->length -= (size_t) (end + 2 - connection->line);
		memmove(connection->line, end + 2, connection->length + 1);
	}
	return connection->length < sizeof(connection->line) - 1;
}

static void
run(const int *listeners)
{
	for (;;)
	{
		struct pollfd fds[CONNECTIONS_MAX + LISTENERS];
		int			n = nconnections;

		for (int i = 0; i < n; i++)
			fds[i] = (struct pollfd)
		{
			connections[i]->fd, POLLIN, 0
		};
		for (int i = 0; i < LISTENERS; i++)
			fds[n + i] = (struct pollfd)
		{
			n < CONNECTIONS_MAX ? listeners[i] : -1, POLLIN, 0
		};
		if (poll(fds, (nfds_t) n + LISTENERS, -1) < 0)
			_exit(1);
		for (int i = 0; i < LISTENERS; i++)
		{
			Connection *connection;

			if (fds[n + i].revents == 0 || nconnections == CONNECTIONS_MAX)
				continue;
			connection = calloc(1, sizeof(Connection));
			connection->fd = accept(listeners[i], NULL, NULL);
			connection->is_mail = i < LISTENERS - 1;
			connections[nconnections++] = connection;
			if (connection->is_mail)
				say(connection, "220 ready\r\n");
		}
		for (int i = n - 1; i >= 0; i--)
		{
			if (fds[i].revents == 0 || serve(connections[i]))
				continue;
			close(connections[i]->fd);
			free(connections[i]);
			connections[i] = connections[--nconnections];
		}
	}
}

/* Listen at a free port of the loopback address; without IPv6 that port is 0 */
static int
listener(int family, int *port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr *address = family == AF_INET ? (struct sockaddr *) &v4 : (struct sockaddr *) &v6;
	socklen_t	size = family == AF_INET ? sizeof(v4) : sizeof(v6);
	int			fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, address, size) != 0 || listen(fd, 512) != 0 ||
		getsockname(fd, address, &size) != 0)
	{
		if (family == AF_INET)
		{
			perror("fake_peer");
			exit(1);
		}
		close(fd);
		*port = 0;
		return -1;
	}
	*port = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
	return fd;
}

void
fake_peer_start(int *mail_port, int *mail_port_v6, int *http_port)
{
	int			listeners[LISTENERS];

	listeners[0] = listener(AF_INET, mail_port);
	listeners[1] = listener(AF_INET6, mail_port_v6);
	listeners[2] = listener(AF_INET, http_port);
	fflush(NULL);
	child = fork();
	if (child == 0)
	{
		(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
		run(listeners);
	}
	for (int i = 0; i < LISTENERS; i++)
		close(listeners[i]);
}

void
fake_peer_stop(void)
{
	(void) kill(child, SIGKILL);
	(void) waitpid(child, NULL, 0);
}
