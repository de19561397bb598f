/*
 * limits_key.c
 *		Keys of jobs whose group or endpoint is limited: see limits_key.h.
 *
 * Rows keep these hashes, and rows are moved between machines by dump and
 * restore: so they do not depend on the order of bytes, as those of the server do.
 */
#include "postgres.h"

#include "base/limits_key.h"

#define FNV_OFFSET	UINT64CONST(0xcbf29ce484222325)
#define FNV_PRIME	UINT64CONST(0x100000001b3)

/* Spread what FNV leaves in the low bits; each value has one that it comes from */
static uint64
mix(uint64 value)
{
	value ^= value >> 33;
	value *= UINT64CONST(0xff51afd7ed558ccd);
	value ^= value >> 33;
	value *= UINT64CONST(0xc4ceb9fe1a85ec53);
	return value ^ value >> 33;
}

int64
limits_group_hash(const char *name, size_t length)
{
	uint64		hash = FNV_OFFSET;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char) name[i]) * FNV_PRIME;
	hash = mix(hash);
	return hash == 0 ? 1 : (int64) hash;
}

int64
limits_key_of(const LimitScopes *scopes, int64 kinds)
{
	uint64		hash;

	if (scopes->group == 0 && scopes->endpoint_id == 0)
		return LIMITS_KEY(scopes->function_id, scopes->queue_id) | kinds;
	hash = mix((uint64) scopes->group + (uint64) LIMITS_KEY(scopes->function_id,
															scopes->queue_id));
	if (scopes->endpoint_id != 0)
		hash = mix(hash + (uint64) (uint32) scopes->endpoint_id);
	return ((int64) hash & LIMITS_KEY_HASH) | LIMITS_KEY_HASHED | kinds;
}
