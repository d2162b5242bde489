/*
 * What loading the module ifb makes by itself: unless it is told `numifbs=0`, the devices ifb0 and ifb1,
 * which nobody asked for. Whoever is the reason that it is loaded takes them away again.
 */
#ifndef SQ_KERNEL_IFB_LOADING_H
#define SQ_KERNEL_IFB_LOADING_H

#include "kernel/ifb.h"
#include "kernel/netlink.h"

#include <stdbool.h>
#include <stdint.h>

#define SQ_IFB_BY_LOADING_MAX 8

enum sq_ifb_loading_stage {
    SQ_IFB_LOADED_BEFORE = 0,
    SQ_IFB_WILL_LOAD, /* there is no IFB on this machine yet: those that come by themselves are squall's doing
                       */
    SQ_IFB_NOTED      /* `made` says which came */
};

/* Plain data: stands in undo records. */
struct sq_ifb_loading {
    uint32_t stage; /* enum sq_ifb_loading_stage */
    uint32_t count;
    struct {
        uint32_t ifindex;
        uint8_t address[SQ_IFB_ADDRESS_LEN];
        uint8_t reserved[2];
    } made[SQ_IFB_BY_LOADING_MAX];
};

/*
 * Before anything is made: will making an IFB load the module? Asks nothing that loads it. Where an IFB is
 * there already it will not, whatever else is known. 0 or -errno.
 */
int sq_ifb_expect_loading(struct sq_netlink *netlink, struct sq_ifb_loading *loading);

/*
 * Whether those that come would come here: they do in the machine's first network namespace, wherever the
 * module's loading was caused.
 */
bool sq_ifb_loads_here(void);

/* After the first IFB was made: which others came with it? 0 or -errno. */
int sq_ifb_note_loading(struct sq_netlink *netlink, struct sq_ifb_loading *loading);

/* What became of what loading made. */
struct sq_ifb_unloading {
    uint32_t left;              /* could not be removed */
    uint32_t used;              /* somebody has put them to use: left to them */
    char name[SQ_IFB_NAME_MAX]; /* of the last one left or used */
    int result;                 /* -errno of the last one left */
};

/*
 * Remove those that nobody uses: still switched off, without queue, master or alias. Nothing is allocated;
 * can be repeated.
 */
void sq_ifb_unload(struct sq_netlink *netlink, const struct sq_ifb_loading *loading,
                   struct sq_ifb_unloading *unloading);

#endif
