/*
 * secret.h
 *		Tokens that cannot be guessed, and their comparison.
 */
#ifndef DASHBOARD_SECRET_H
#define DASHBOARD_SECRET_H

#include "core/base.h"

/* Hexadecimal digits of a token: 128 random bits */
#define SECRET_LEN		32

extern void secret_bytes(void *bytes, size_t size);
extern void secret_token(char *token);
extern bool secret_equal(const char *a, const char *b);

#endif							/* DASHBOARD_SECRET_H */
