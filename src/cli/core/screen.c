/*
 * screen.c
 *		The whole terminal, for a picture that is drawn again and again.
 *
 * A picture replaces the one before in one write, so that no line is ever seen
 * empty.  Signals only set flags; the caller's loop asks for them.  The terminal
 * is restored at the end of the program, whatever ends it, and while the program
 * is stopped.
 */
#include "core/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t end_requested = 0;
static volatile sig_atomic_t stop_requested = 0;
static volatile sig_atomic_t resized = 0;

static struct termios modes_before;
static bool is_open = false;

static void
on_signal(int number)
{
	switch (number)
	{
		case SIGWINCH:
		case SIGCONT:
			resized = 1;
			break;
		case SIGTSTP:
			stop_requested = 1;
			break;
		default:
			end_requested = 1;
	}
}

static void
write_all(const char *data, size_t len)
{
	while (len > 0)
	{
		ssize_t		n = write(STDOUT_FILENO, data, len);

		if (n < 0 && errno != EINTR)
			return;				/* terminal closed; SIGHUP follows */
		if (n > 0)
		{
			data += n;
			len -= n;
		}
	}
}

/* Switch to the alternate screen, without cursor, echo and line mode */
void
screen_open(void)
{
	static const char enter[] = "\033[?1049h\033[?25l\033[2J";
	struct termios raw;

	if (is_open)
		return;
	if (tcgetattr(STDIN_FILENO, &modes_before) == 0)
	{
		raw = modes_before;
		raw.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
		raw.c_cc[VMIN] = 0;
		raw.c_cc[VTIME] = 0;
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	write_all(enter, sizeof(enter) - 1);
	is_open = true;
}

/* Restore the terminal */
void
screen_close(void)
{
	static const char leave[] = "\033[0m\033[?25h\033[?1049l";

	if (!is_open)
		return;
	is_open = false;
	write_all(leave, sizeof(leave) - 1);
	tcsetattr(STDIN_FILENO, TCSANOW, &modes_before);
}

/* Have signals set flags, and the end of the program restore the terminal */
void
screen_handle_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT};
	struct sigaction action = {0};

	action.sa_handler = on_signal;
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < lengthof(numbers); i++)
		sigaction(numbers[i], &action, NULL);
	atexit(screen_close);
}

/* Stop on Ctrl-Z as any program does, with the terminal restored meanwhile */
static void
stop(void)
{
	bool		was_open = is_open;

	stop_requested = 0;
	screen_close();
	kill(getpid(), SIGSTOP);
	if (was_open)
		screen_open();
}

/* Draw lines over the picture before, at most as many as the terminal has rows */
void
screen_draw(const Buffer *text, int rows)
{
	Buffer		out = {0};
	const char *line = text->data;

	buffer_add(&out, "\033[H");
	for (int row = 0; row < rows && *line != '\0'; row++)
	{
		size_t		len = strcspn(line, "\n");

		if (row > 0)
			buffer_add(&out, "\r\n");
		buffer_add_len(&out, line, len);
		buffer_add(&out, "\033[K");
		line += len + (line[len] == '\n');
	}
	buffer_add(&out, "\033[J");
	write_all(out.data, out.len);
	buffer_free(&out);
}

/*
 * Wait for a key, at most so many seconds.  Returns the key, or 0 after the time
 * or a signal.  Without an open screen no key is read.
 */
int
screen_wait_for_key(double seconds)
{
	struct pollfd input = {.fd = is_open ? STDIN_FILENO : -1, .events = POLLIN};
	int			ready = poll(&input, 1, seconds > 0 ? (int) (seconds * 1000 + 0.999) : 0);
	char		key;

	if (stop_requested)
		stop();
	if (ready <= 0)
		return 0;
	if (read(STDIN_FILENO, &key, 1) == 1)
		return (unsigned char) key;
	end_requested = 1;			/* terminal closed */
	return 0;
}

/* Report whether the picture must be drawn anew, once for each change */
bool
screen_was_resized(void)
{
	bool		result = resized && is_open;

	resized = 0;
	return result;
}

/* End the caller's loop */
void
screen_end(void)
{
	end_requested = 1;
}

/* Report whether the program is to end */
bool
screen_ended(void)
{
	return end_requested;
}
