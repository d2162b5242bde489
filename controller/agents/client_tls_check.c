#include "agents/client_tls_check.h"

#include "agents/client_tls.h"
#include "common/clock.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#define DAY_NS (86400 * SQ_NS_PER_SECOND)

struct check {
    struct sq_node tls;
    uint64_t now_real_ns;
    struct sq_problems *problems;
};

static uint64_t real_ns_of(const mbedtls_x509_time *time)
{
    struct tm parts = {.tm_year = time->year - 1900,
                       .tm_mon = time->mon - 1,
                       .tm_mday = time->day,
                       .tm_hour = time->hour,
                       .tm_min = time->min,
                       .tm_sec = time->sec};
    time_t seconds = timegm(&parts);
    if (seconds <= 0)
        return 0;
    return (uint64_t)seconds > UINT64_MAX / SQ_NS_PER_SECOND ? UINT64_MAX
                                                             : (uint64_t)seconds * SQ_NS_PER_SECOND;
}

static void complain(const struct check *check, const char *key, struct sq_error *error, bool is_warning)
{
    struct sq_node node = sq_node_get(check->tls, key);
    (void)sq_node_fail_at(sq_node_is_there(node) ? node : check->tls, error);
    if (is_warning)
        sq_problems_warn(check->problems, error);
    else
        sq_problems_add(check->problems, error);
}

/* Who checks a file for others need not be allowed to read their key. */
static bool can_be_read(const struct check *check, const char *key, const char *path)
{
    struct sq_error error;
    if (access(path, R_OK) == 0 || errno != EACCES)
        return true;
    (void)sq_fail(&error, SQ_BAD_INPUT, "%s may not be read by you, so nobody looked whether it is right",
                  path);
    complain(check, key, &error, true);
    return false;
}

static void check_one(const struct check *check, const char *key, const char *path,
                      const mbedtls_x509_crt *certificate, bool others_do)
{
    struct sq_error error;
    char when[SQ_TIMESTAMP_MAX];
    uint64_t from_ns = real_ns_of(&certificate->valid_from);
    uint64_t to_ns = real_ns_of(&certificate->valid_to);
    if (check->now_real_ns < from_ns) {
        sq_timestamp_format(from_ns, when);
        (void)sq_fail(&error, SQ_BAD_INPUT, "%s holds only from %s on; is this machine's clock right?", path,
                      when);
        complain(check, key, &error, others_do);
        return;
    }
    sq_timestamp_format(to_ns, when);
    if (check->now_real_ns > to_ns) {
        (void)sq_fail(&error, SQ_BAD_INPUT, "%s ended at %s; expected one that is valid: make a new one",
                      path, when);
        complain(check, key, &error, others_do);
    } else if (to_ns - check->now_real_ns < SQ_TLS_WARN_DAYS * DAY_NS) {
        (void)sq_fail(&error, SQ_BAD_INPUT, "%s ends at %s, in less than %d days; make a new one", path, when,
                      SQ_TLS_WARN_DAYS);
        complain(check, key, &error, true);
    }
}

static bool holds(const struct check *check, const mbedtls_x509_crt *certificate)
{
    return check->now_real_ns >= real_ns_of(&certificate->valid_from) &&
           check->now_real_ns <= real_ns_of(&certificate->valid_to);
}

/* Of several authorities one is enough: old and new stand beside each other while they are changed. */
static void check_authorities(const struct check *check, const char *path, const mbedtls_x509_crt *chain)
{
    bool one_holds = false;
    for (const mbedtls_x509_crt *one = chain; one != NULL; one = one->next)
        one_holds = one_holds || holds(check, one);
    for (const mbedtls_x509_crt *one = chain; one != NULL; one = one->next)
        check_one(check, "agents", path, one, one_holds);
}

void sq_client_tls_check(const struct sq_inventory *inventory, struct sq_node tls, uint64_t now_real_ns,
                         struct sq_problems *problems)
{
    struct check check = {.tls = tls, .now_real_ns = now_real_ns, .problems = problems};
    struct sq_client_tls *files = NULL;
    struct sq_error error;
    if (inventory->tls_certificate[0] == '\0')
        return;
    bool readable = can_be_read(&check, "certificate", inventory->tls_certificate);
    readable = can_be_read(&check, "key", inventory->tls_key) && readable;
    readable = can_be_read(&check, "agents", inventory->tls_agents) && readable;
    if (!readable)
        return;
    if (sq_client_tls_load(inventory, &files, &error) != 0) {
        complain(&check, "", &error, false);
        return;
    }
    for (const mbedtls_x509_crt *own = &files->certificate; own != NULL; own = own->next)
        check_one(&check, "certificate", inventory->tls_certificate, own, false);
    check_authorities(&check, inventory->tls_agents, &files->agents);
    sq_client_tls_free(files);
}
