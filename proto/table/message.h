/*
 * What controller and agent say to each other, as plain data without pointers: proto/wire turns it into
 * protobuf and back, and inside the agent it crosses from the front to the injector as it is.
 *
 * Every structure is bounded. Times named `_boot_ns` are the agent's own CLOCK_BOOTTIME, which the controller
 * translates with what `hello` told it; 0 is "never" or "not yet".
 */
#ifndef SQ_TABLE_MESSAGE_H
#define SQ_TABLE_MESSAGE_H

#include "common/clock.h"
#include "common/error.h"
#include "common/id.h"
#include "table/fault_spec.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Controller and agent work together when they are one version apart at most; the newer one then speaks the
 * other's. Version 2: orders need the token that came with PREPARE, and PREPARE says until when it is to be
 * injected.
 */
#define SQ_PROTOCOL_VERSION       2
#define SQ_PROTOCOL_VERSION_LEAST 1
#define SQ_DEFAULT_PORT           7433
#define SQ_WIRE_BYTES_MAX         (512u * 1024) /* of one message; both sides drop what is larger unread */

#define SQ_FAULTS_MAX            8 /* faults of one experiment on one host */
#define SQ_LEASE_MIN_NS          (500 * SQ_NS_PER_MILLISECOND)
#define SQ_LEASE_MAX_NS          (600 * SQ_NS_PER_SECOND)
#define SQ_LEASE_DEFAULT_NS      (10 * SQ_NS_PER_SECOND)
#define SQ_DURATION_MIN_NS       (1 * SQ_NS_PER_MILLISECOND)
#define SQ_DURATION_MAX_NS       (24 * 3600 * SQ_NS_PER_SECOND)
#define SQ_NOT_AFTER_MAX_NS      (120 * SQ_NS_PER_SECOND) /* how far ahead not_after_boot_ns may be */
#define SQ_PREPARED_MAX_NS       SQ_DURATION_MAX_NS       /* how long a fault may wait for its INJECT */
#define SQ_KILL_WATCH_DEFAULT_NS (10 * SQ_NS_PER_SECOND)  /* duration of an instant fault that names none */

#define SQ_TITLE_MAX     128
#define SQ_NAME_MAX      64
#define SQ_LINE_MAX      200
#define SQ_LINES_MAX     32
#define SQ_COUNTERS_MAX  8
#define SQ_ABILITIES_MAX 16

enum sq_verb {
    SQ_VERB_NONE = 0,
    SQ_VERB_HELLO = 1,   /* who are you, what can you do, what time is it */
    SQ_VERB_PREVIEW = 2, /* what would these faults do? reads the host, changes nothing */
    SQ_VERB_PREPARE =
        3,              /* check policy and conflicts, record the undo, do everything slow; start the lease */
    SQ_VERB_INJECT = 4, /* at a time on the agent's clock, or now */
    SQ_VERB_RENEW = 5,  /* the lease of every fault of the experiment */
    SQ_VERB_REVERT = 6, /* answers when clean; removal follows, status tells */
    SQ_VERB_STATUS = 7,
    SQ_VERB_HALT = 8, /* revert whatever is there, whoever ordered it; refuse what was prepared for later */
    SQ_VERB_MAX = 8
};

enum sq_fault_state {
    SQ_STATE_NONE = 0,
    SQ_STATE_PREPARED = 1,
    SQ_STATE_INJECTED = 2,
    SQ_STATE_REVERTING = 3, /* clean, and being removed */
    SQ_STATE_REVERTED = 4,  /* clean and removed; final */
    SQ_STATE_FAILED = 5, /* could not be prepared, injected or undone; `code` and `message` say why; final */
    SQ_STATE_MAX = 5
};

/* Why a fault ended. */
enum sq_end_reason {
    SQ_END_NONE = 0,
    SQ_END_ORDERED = 1,  /* a revert */
    SQ_END_DURATION = 2, /* its time was over */
    SQ_END_LEASE = 3,    /* nobody renewed the lease */
    SQ_END_HALT = 4,
    SQ_END_SHUTDOWN = 5, /* the agent was told to stop */
    SQ_END_FAILURE = 6,
    SQ_END_RECOVERY = 7, /* found in the undo log by a later life of the agent */
    SQ_END_POLICY = 8,   /* the host's policy was changed, and forbids it now */
    SQ_END_UNUSED = 9,   /* prepared, and not injected while it might have been */
    SQ_END_MAX = 9
};

/* One fault as ordered. */
struct sq_fault_order {
    uint32_t index; /* 0 to SQ_FAULTS_MAX - 1, unique within the experiment on this host */
    uint64_t duration_ns;
    struct sq_fault_spec spec;
};

/* Where a request came from. Filled by the front from the connection, never from the wire. */
struct sq_requester {
    uint8_t family; /* 4 or 6 for TLS, 0 for the Unix socket */
    uint8_t address[16];
    uint16_t agent_port; /* the port of this agent that it came to */
    uint32_t uid;        /* the Unix socket's peer; for the record only */
    uint32_t pid;        /* the same; 0: not known, or in a pid namespace that is not seen from here */
};

struct sq_request {
    uint32_t version;
    enum sq_verb verb;
    struct sq_id
        instance; /* the life of the agent that is meant, from its hello; PREPARE, INJECT, RENEW, REVERT */
    struct sq_id experiment;         /* PREVIEW, PREPARE, INJECT, RENEW, REVERT */
    char title[SQ_TITLE_MAX];        /* PREPARE: the experiment's title */
    char operator_name[SQ_NAME_MAX]; /* PREPARE: user@host of the controller, for the record */
    /*
     * A secret of who prepares the experiment, chosen at random by the controller: PREPARE brings it, and
     * INJECT, RENEW and REVERT need it. Zero from controllers of version 1, which know none.
     */
    struct sq_id token;
    uint64_t lease_ns;          /* PREPARE, RENEW */
    uint64_t not_after_boot_ns; /* PREPARE, INJECT: refused when it arrives later; never zero, and
                                   SQ_NOT_AFTER_MAX_NS ahead at most */
    uint64_t
        prepared_until_boot_ns; /* PREPARE: what is not injected by then is reverted, whatever is renewed;
                                   SQ_PREPARED_MAX_NS ahead at most. Zero from version 1: that far */
    uint64_t at_boot_ns;        /* INJECT: when; 0 or past: now */
    uint32_t fault_mask;        /* INJECT, REVERT: bit i is the fault of index i; 0: all */
    struct sq_requester requester;
    uint32_t fault_count; /* PREVIEW, PREPARE */
    struct sq_fault_order faults[SQ_FAULTS_MAX];
};

/* What one line of a report is about. */
enum sq_line_kind {
    SQ_LINE_TOUCHES = 1, /* a thing the fault applies to: a peer on an interface, a process */
    SQ_LINE_SPARES = 2,  /* a thing it leaves alone though it matches */
    SQ_LINE_NOTE = 3,    /* what happened: "pid 812 came back as pid 901 after 1.2s" */
    SQ_LINE_WARNING = 4,
    SQ_LINE_LEFT = 5,    /* something squall made and could not remove, and how to finish by hand */
    SQ_LINE_FOREIGN = 6, /* something that changed meanwhile and is not squall's: reported, not touched */
    SQ_LINE_KIND_MAX = 6
};

struct sq_report_line {
    enum sq_line_kind kind;
    char text[SQ_LINE_MAX];
};

struct sq_counter {
    char name[24]; /* "dropped-out", "dropped-in", "killed" */
    uint64_t value;
};

/* What came of the comparison of the host with what was there before. */
enum sq_proof {
    SQ_PROOF_NONE = 0,    /* not compared (yet), or it could not be */
    SQ_PROOF_PROVED = 1,  /* what was touched is the same as before */
    SQ_PROOF_CHANGED = 2, /* squall's own is gone; others changed something meanwhile: a line names it */
    SQ_PROOF_LEFT = 3,    /* something that squall made is still there: a line names it */
    SQ_PROOF_MAX = 3
};

/* One fault as it stands on the host. */
struct sq_fault_report {
    uint32_t index;
    enum sq_fault_kind kind;
    enum sq_fault_state state;
    enum sq_end_reason end_reason;
    enum sq_code code; /* SQ_OK, or why it was refused or failed */
    char message[SQ_ERROR_TEXT_MAX];
    uint64_t prepared_boot_ns;
    uint64_t injected_boot_ns;
    uint64_t deadline_boot_ns; /* when the kernel ends it as things stand */
    uint64_t ends_boot_ns; /* when it ends by itself, however long the lease; 0: not injected, or not told */
    uint64_t clean_boot_ns;
    uint64_t removed_boot_ns;
    uint64_t seen_boot_ns; /* when all that it made was last seen in place and in front */
    enum sq_proof proof;
    bool touched; /* something was hit: a counter above zero, a process killed */
    uint32_t counter_count;
    struct sq_counter counters[SQ_COUNTERS_MAX];
    uint32_t line_count;
    uint32_t lines_dropped; /* how many more there were */
    struct sq_report_line lines[SQ_LINES_MAX];
};

/* Can this host do it? */
struct sq_ability {
    enum sq_fault_kind kind;
    bool able;                /* the kernel and the privileges allow it, or nothing tells whether they do */
    bool permitted;           /* the policy allows it */
    char reason[SQ_LINE_MAX]; /* why not, and what to do. With both true: why it is not certain, or empty */
};

struct sq_hello {
    uint32_t protocol; /* the highest version that the agent speaks */
    char agent_version[SQ_NAME_MAX];
    char hostname[SQ_NAME_MAX];
    char kernel[SQ_NAME_MAX];
    struct sq_id boot;
    uint64_t real_ns;                       /* the agent's wall clock, to tell a clock offset */
    uint64_t max_duration_ns;               /* the policy's */
    uint64_t certificate_ends_real_ns;      /* wall clock; 0: it has none, or does not tell */
    char policy_problem[SQ_ERROR_TEXT_MAX]; /* why the policy allows nothing; empty: there is one */
    uint32_t ability_count;
    struct sq_ability abilities[SQ_ABILITIES_MAX];
};

struct sq_reply {
    uint32_t version;
    enum sq_verb verb; /* of the request */
    enum sq_code code; /* SQ_OK, or why the whole request was refused; `message` says it for a person */
    char message[SQ_ERROR_TEXT_MAX];
    struct sq_id instance;
    uint64_t now_boot_ns;    /* the agent's clock when it answered */
    struct sq_id experiment; /* what is on this host; zero: nothing */
    char title[SQ_TITLE_MAX];
    char operator_name[SQ_NAME_MAX];
    uint64_t lease_boot_ns; /* when the lease ends */
    struct sq_hello hello;  /* HELLO */
    uint32_t fault_count;   /* PREVIEW, PREPARE, INJECT, RENEW, REVERT, STATUS, HALT */
    struct sq_fault_report faults[SQ_FAULTS_MAX];
};

const char *sq_verb_name(enum sq_verb verb);
const char *sq_state_name(enum sq_fault_state state);      /* "PREPARED" */
const char *sq_end_reason_name(enum sq_end_reason reason); /* "lease ended" */
const char *sq_proof_name(enum sq_proof proof);            /* "proved", "changed by others", "left" */
const char *sq_line_kind_name(enum sq_line_kind kind);     /* "touches" */

/*
 * Make one that is all zero, or was filled before, all zero again. Writes no more than was filled: most of
 * these large structures is never touched, and takes no memory.
 */
void sq_request_clear(struct sq_request *request);
void sq_reply_clear(struct sq_reply *reply);

/* Append a line to a report, cut to its bound; beyond SQ_LINES_MAX it only counts. Control characters become
 * '?'. */
void sq_report_line(struct sq_fault_report *report, enum sq_line_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Set a counter by name, adding it if there is room. */
void sq_report_count(struct sq_fault_report *report, const char *name, uint64_t value);

/* Copy an error into a report or a reply. */
void sq_report_fail(struct sq_fault_report *report, const struct sq_error *error);
void sq_reply_fail(struct sq_reply *reply, const struct sq_error *error);

/*
 * Does this side speak the other's version? 0, or -1 with SQ_VERSION_GAP, the versions of both, and what to
 * do.
 */
int sq_protocol_check_request(uint32_t version, struct sq_error *error); /* in the agent */
int sq_protocol_check_reply(uint32_t version, struct sq_error *error);   /* in the controller */

/* The version in which a request of version `asked` is answered: the same if it is spoken here. */
uint32_t sq_protocol_answer_version(uint32_t asked);

/*
 * That a request is well-formed: version, verb, bounds, texts terminated, indices unique, durations and lease
 * in range, every spec checked. Used by the front after decoding and again by the injector. Whether two
 * faults stand in each other's way depends on when they are injected, and is decided then.
 */
int sq_request_check(const struct sq_request *request, struct sq_error *error);

/* That a reply is well-formed: enumerations, counts and texts within bounds. Used by the controller. */
int sq_reply_check(const struct sq_reply *reply, struct sq_error *error);

#endif
