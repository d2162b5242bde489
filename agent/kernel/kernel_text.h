/* The kernel's own descriptions of itself as text: its configuration and its symbols. */
#ifndef SQ_KERNEL_KERNEL_TEXT_H
#define SQ_KERNEL_KERNEL_TEXT_H

#include <stdbool.h>

#define SQ_KERNEL_PATH_MAX 256

/*
 * A kernel's configuration, compressed with gzip or plain, zero-terminated; the caller frees it. NULL if it
 * cannot be read whole.
 */
char *sq_kernel_config_read(const char *path);

/*
 * Visit every symbol of /proc/kallsyms, until `visit` returns false. Where it cannot be read there are none.
 * `in_module`: it belongs to a module.
 */
void sq_kernel_symbols(bool (*visit)(const char *symbol, bool in_module, void *cookie), void *cookie);

#endif
