/*
 * screen.h
 *		The whole terminal, for a picture that is drawn again and again.
 */
#ifndef CLI_SCREEN_H
#define CLI_SCREEN_H

#include "core/buffer.h"

extern void screen_handle_signals(void);
extern void screen_open(void);
extern void screen_close(void);
extern void screen_draw(const Buffer *text, int rows);
extern int	screen_wait_for_key(double seconds);
extern bool screen_was_resized(void);
extern void screen_end(void);
extern bool screen_ended(void);

#endif							/* CLI_SCREEN_H */
