/*
 * fake_peer.h
 *		A mail server and a web server for the tests of src/transport/, in a process
 *		of its own.
 *
 * Mail, by the local part of the last recipient:
 *	perm	550 at RCPT
 *	hang	RCPT is never answered
 *	drop	closes at DATA
 *	meetN	the message is answered when N connections have sent theirs
 *	other	accepted
 *
 * HTTP, by path: /retry/VALUE answers 503 with that Retry-After ("%20" is a blank),
 * /bytes/N 200 and a body of N bytes, /lines/N as many header lines, /hang never.
 */
#ifndef FAKE_PEER_H
#define FAKE_PEER_H

/*
 * Start it, at these ports of 127.0.0.1 and ::1 (0: there is no IPv6).  It ends with
 * this process, or by fake_peer_stop().
 */
extern void fake_peer_start(int *mail_port, int *mail_port_v6, int *http_port);
extern void fake_peer_stop(void);

#endif							/* FAKE_PEER_H */
