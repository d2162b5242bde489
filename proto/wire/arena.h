/*
 * Memory that is given back all at once and never grows beyond a bound: whatever protobuf-c allocates while
 * it unpacks comes from here, so that hostile bytes cannot exhaust the process's memory.
 */
#ifndef SQ_WIRE_ARENA_H
#define SQ_WIRE_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

/* The largest valid message needs less than a quarter of it. */
#define SQ_ARENA_BYTES_MAX (4u << 20)

struct sq_arena_block;

struct sq_arena {
    size_t used_bytes;
    struct sq_arena_block *blocks;
    ProtobufCAllocator allocator; /* for protobuf-c; valid while the arena is */
};

void sq_arena_init(struct sq_arena *arena);
void sq_arena_release(struct sq_arena *arena);
#define sq_autoarena __attribute__((cleanup(sq_arena_release)))

/* Zeroed memory that lives as long as the arena; NULL when the bound is reached. */
void *sq_arena_allocate(struct sq_arena *arena, size_t size);

#endif
