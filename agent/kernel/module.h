/* Parts of the kernel that may be modules: told from the lists of modules alone, which loads none. */
#ifndef SQ_KERNEL_MODULE_H
#define SQ_KERNEL_MODULE_H

enum sq_module_state {
    SQ_MODULE_UNKNOWN = 0, /* no list to tell from, as in a container without /lib/modules */
    SQ_MODULE_PRESENT,     /* loaded, or part of the kernel */
    SQ_MODULE_LOADABLE,    /* on the disk, and not loaded */
    SQ_MODULE_MISSING
};

enum sq_module_state sq_module_state(const char *name);

#endif
