#include "wire/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES (32u * 1024)

struct sq_arena_block {
    struct sq_arena_block *next;
    size_t size;
    size_t used;
    alignas(max_align_t) unsigned char bytes[];
};

static struct sq_arena_block *add_block(struct sq_arena *arena, size_t least)
{
    size_t size = least > BLOCK_BYTES ? least : BLOCK_BYTES;
    if (size > SQ_ARENA_BYTES_MAX - arena->used_bytes)
        return NULL;
    struct sq_arena_block *block = calloc(1, sizeof *block + size);
    if (block == NULL)
        return NULL;
    block->size = size;
    block->next = arena->blocks;
    arena->blocks = block;
    arena->used_bytes += size;
    return block;
}

void *sq_arena_allocate(struct sq_arena *arena, size_t size)
{
    if (size > SQ_ARENA_BYTES_MAX)
        return NULL;
    const size_t unit = alignof(max_align_t);
    size = size == 0 ? unit : (size + unit - 1) / unit * unit;
    struct sq_arena_block *block = arena->blocks;
    if (block == NULL || size > block->size - block->used)
        block = add_block(arena, size);
    if (block == NULL)
        return NULL;
    void *memory = block->bytes + block->used;
    block->used += size;
    return memory;
}

static void *allocate(void *cookie, size_t size)
{
    return sq_arena_allocate(cookie, size);
}

/* Given back with the arena. */
static void ignore(void *cookie, void *memory)
{
    (void)cookie;
    (void)memory;
}

void sq_arena_init(struct sq_arena *arena)
{
    memset(arena, 0, sizeof *arena);
    arena->allocator = (ProtobufCAllocator){.alloc = allocate, .free = ignore, .allocator_data = arena};
}

void sq_arena_release(struct sq_arena *arena)
{
    while (arena->blocks != NULL) {
        struct sq_arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}
