#include "reading/inventory.h"

#include "common/cleanup.h"
#include "common/document.h"
#include "common/text.h"
#include "model/url.h"
#include "reading/inventory_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOSTS_MAX                100000
#define CONTROLLER_FILE_VARIABLE "SQUALL_CONTROLLER"
#define CONTROLLER_FILE          "/etc/squall/controller.yaml"

static void reader_free(struct sq_inventory_reader *reader)
{
    sq_inventory_free(reader->inventory);
    free(reader->places);
    free(reader->files);
}

static int reader_init(struct sq_inventory_reader *reader, const char *name, struct sq_error *error)
{
    reader->inventory = calloc(1, sizeof *reader->inventory);
    reader->files = calloc(SQ_INVENTORY_FILES_MAX, sizeof *reader->files);
    if (reader->inventory == NULL || reader->files == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    sq_text_copy_path(reader->inventory->path, sizeof reader->inventory->path, name);
    sq_text_copy_path(reader->files[0], sizeof reader->files[0], name);
    reader->file_count = 1;
    return 0;
}

static int reader_grow(struct sq_inventory_reader *reader, struct sq_error *error)
{
    struct sq_inventory *inventory = reader->inventory;
    if (inventory->host_count < reader->capacity)
        return 0;
    if (inventory->host_count >= HOSTS_MAX)
        return sq_fail(error, SQ_BAD_INPUT, "%s: more than %d hosts", inventory->path, HOSTS_MAX);
    uint32_t capacity = reader->capacity * 2 + 16;
    struct sq_host *hosts = realloc(inventory->hosts, capacity * sizeof *hosts);
    if (hosts == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    inventory->hosts = hosts;
    struct sq_host_place *places = realloc(reader->places, capacity * sizeof *places);
    if (places == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    reader->places = places;
    reader->capacity = capacity;
    return 0;
}

static int read_labels(struct sq_host *host, struct sq_node labels, struct sq_error *error)
{
    const char *scalar = sq_node_text(labels);
    if (scalar != NULL && (scalar[0] == '\0' || strcmp(scalar, "null") == 0 || strcmp(scalar, "~") == 0))
        return 0;
    if (!sq_node_is_there(labels))
        return 0;
    if (sq_node_expect(labels, SQ_NODE_MAP, "'labels'", error) != 0)
        return -1;
    size_t count = sq_node_count(labels);
    if (count > SQ_LABELS_MAX)
        return sq_node_fail(labels, error, SQ_BAD_INPUT, "more than %d labels on one host", SQ_LABELS_MAX);
    host->labels = calloc(count + 1, sizeof *host->labels);
    if (host->labels == NULL)
        return sq_fail(error, SQ_SYSTEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct sq_node key = sq_node_key(labels, i);
        struct sq_node value = sq_node_value(labels, i);
        struct sq_setting *label = &host->labels[host->label_count++];
        if (sq_node_expect(value, SQ_NODE_SCALAR, "a label's value", error) != 0)
            return -1;
        if (sq_node_text(key)[0] == '\0' || !sq_text_copy(label->name, sizeof label->name, sq_node_text(key)))
            return sq_node_fail(key, error, SQ_BAD_INPUT, "a label's name has 1 to %d bytes",
                                SQ_NAME_MAX - 1);
        if (!sq_text_copy(label->value, sizeof label->value, sq_node_text(value)))
            return sq_node_fail(value, error, SQ_BAD_INPUT, "a label's value is longer than %d bytes",
                                SQ_PATH_TEXT_MAX - 1);
    }
    return 0;
}

int sq_reader_add_host(struct sq_inventory_reader *reader, struct sq_node node, const char *given_name,
                       const char *agent, struct sq_node labels, struct sq_error *error)
{
    /* A dot at the end tells a resolver that nothing is missing; certificates and people leave it out. */
    char name[SQ_HOST_NAME_MAX + 1];
    bool is_whole = sq_text_copy(name, sizeof name, given_name);
    size_t length = strlen(name);
    if (length > 1 && name[length - 1] == '.')
        name[length - 1] = '\0';
    if (!is_whole || !sq_host_name_is_valid(name))
        return sq_node_fail(
            node, error, SQ_BAD_INPUT,
            "'%.70s' is no name for a host; expected 1 to %d letters, digits, '.', '-' and '_' (in "
            "file_sd, the label squall_name gives one)",
            given_name, SQ_HOST_NAME_MAX - 1);
    if (reader_grow(reader, error) != 0)
        return -1;
    struct sq_host *host = &reader->inventory->hosts[reader->inventory->host_count];
    memset(host, 0, sizeof *host);
    /* Counted at once, so that its labels are freed whatever goes wrong below. */
    reader->inventory->host_count++;
    (void)sq_text_copy(host->name, sizeof host->name, name);
    host->line = sq_node_line(node);
    reader->places[reader->inventory->host_count - 1] = (struct sq_host_place){
        .file = reader->file_count - 1, .line = sq_node_line(node), .column = sq_node_column(node)};
    if (sq_agent_url_parse(agent, host->agent, error) != 0) {
        (void)sq_fail_in(error, "host '%s'", name);
        return sq_node_fail_at(node, error);
    }
    return read_labels(host, labels, error);
}

static int read_host(struct sq_inventory_reader *reader, struct sq_node node, struct sq_error *error)
{
    static const char *const keys[] = {"name", "agent", "labels"};
    const char *name = "";
    const char *agent = "";
    if (sq_node_check_keys(node, "a host", keys, sizeof keys / sizeof keys[0], error) != 0 ||
        sq_map_text(node, "name", true, SQ_HOST_NAME_MAX + 1, &name, error) != 0 ||
        sq_map_text(node, "agent", true, SQ_AGENT_URL_MAX - 8, &agent, error) != 0)
        return -1;
    return sq_reader_add_host(reader, node, name, agent, sq_node_get(node, "labels"), error);
}

static void read_hosts(struct sq_inventory_reader *reader, struct sq_node hosts)
{
    struct sq_error error;
    if (!sq_node_is_there(hosts) ||
        !sq_problems_note(reader->problems, sq_node_expect(hosts, SQ_NODE_LIST, "'hosts'", &error), &error))
        return;
    for (size_t i = 0; i < sq_node_count(hosts); i++)
        (void)sq_problems_note(reader->problems, read_host(reader, sq_node_item(hosts, i), &error), &error);
}

static int read_prometheus(struct sq_node prometheus, struct sq_inventory *inventory, struct sq_error *error)
{
    const char *keys[] = {"url", "headers", "bearer", "basic", "ca", "certificate", "key"};
    size_t key_count = sizeof keys / sizeof keys[0];
    const char *url = "";
    if (!sq_node_is_there(prometheus))
        return 0;
    if (sq_node_check_keys(prometheus, "'prometheus'", keys, key_count, error) != 0 ||
        sq_map_text(prometheus, "url", true, sizeof inventory->prometheus_url, &url, error) != 0)
        return -1;
    if (sq_http_url_check(url, error) != 0)
        return sq_node_fail_at(sq_node_get(prometheus, "url"), error);
    (void)sq_text_copy(inventory->prometheus_url, sizeof inventory->prometheus_url, url);
    for (size_t i = 1; i < key_count; i++) {
        struct sq_node value = sq_node_get(prometheus, keys[i]);
        if (sq_node_is_there(value) &&
            sq_access_read(keys[i], value, &inventory->prometheus_access, error) != 0)
            return -1;
    }
    return sq_access_check(prometheus, inventory->prometheus_access, error);
}

/* A path of the file at `base`: relative ones are taken from its folder. */
static bool resolve(const char *base, const char *path, char resolved[PATH_MAX])
{
    const char *slash = strrchr(base, '/');
    int length = path[0] == '/' || slash == NULL
                     ? snprintf(resolved, PATH_MAX, "%s", path)
                     : snprintf(resolved, PATH_MAX, "%.*s/%s", (int)(slash - base), base, path);
    return length > 0 && length < PATH_MAX;
}

/* `base` and `on_disk` as in the reader. */
static int read_tls_path(struct sq_node tls, const char *key, const char *base, bool on_disk,
                         char path[PATH_MAX], struct sq_error *error)
{
    const char *text = "";
    if (sq_map_text(tls, key, true, PATH_MAX, &text, error) != 0)
        return -1;
    struct sq_node node = sq_node_get(tls, key);
    if (!resolve(base, text, path))
        return sq_node_fail(node, error, SQ_BAD_INPUT, "the path of '%s' is too long", key);
    /* Only what is certainly not there: who plans offline need not be allowed to read the key. */
    if (on_disk && access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return sq_node_fail(node, error, SQ_BAD_INPUT, "'%s' names %.200s, which does not exist", key, path);
    return 0;
}

static void read_tls(struct sq_inventory_reader *reader, struct sq_node tls, const char *base)
{
    static const char *const keys[] = {"certificate", "key", "agents"};
    struct sq_inventory *inventory = reader->inventory;
    char *const paths[] = {inventory->tls_certificate, inventory->tls_key, inventory->tls_agents};
    struct sq_error error;
    if (!sq_node_is_there(tls) || (!sq_problems_check_keys(reader->problems, tls, "'tls'", keys, 3) &&
                                   sq_node_type(tls) != SQ_NODE_MAP))
        return;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        (void)sq_problems_note(reader->problems,
                               read_tls_path(tls, keys[i], base, reader->on_disk, paths[i], &error), &error);
}

static int read_file_sd_file(struct sq_inventory_reader *reader, struct sq_node item, struct sq_error *error)
{
    char path[PATH_MAX];
    if (sq_node_expect(item, SQ_NODE_SCALAR, "a path of 'file_sd'", error) != 0)
        return -1;
    if (!resolve(reader->base, sq_node_text(item), path) || strlen(path) >= SQ_PATH_TEXT_MAX)
        return sq_node_fail(item, error, SQ_BAD_INPUT, "the path is too long");
    sq_autodocument struct sq_document *document = NULL;
    if (sq_document_load(path, &document, error) != 0)
        return sq_node_fail_at(item, error);
    (void)sq_text_copy(reader->files[reader->file_count++], SQ_PATH_TEXT_MAX, path);
    sq_file_sd_read(reader, sq_document_root(document));
    return 0;
}

static void read_file_sd(struct sq_inventory_reader *reader, struct sq_node paths)
{
    struct sq_error error;
    size_t count = sq_one_or_list_count(paths);
    if (!sq_node_is_there(paths))
        return;
    if (!reader->on_disk || count == 0 || count >= SQ_INVENTORY_FILES_MAX ||
        sq_node_type(paths) == SQ_NODE_MAP) {
        (void)(reader->on_disk ? sq_node_fail(paths, &error, SQ_BAD_INPUT,
                                              "'file_sd' is a path or a list of 1 to %d paths",
                                              SQ_INVENTORY_FILES_MAX - 1)
                               : sq_node_fail(paths, &error, SQ_BAD_INPUT,
                                              "'file_sd' needs an inventory that was read from a file"));
        sq_problems_add(reader->problems, &error);
        return;
    }
    for (size_t i = 0; i < count; i++)
        (void)sq_problems_note(reader->problems,
                               read_file_sd_file(reader, sq_one_or_list_item(paths, i), &error), &error);
}

static int read_runs(struct sq_node runs, struct sq_inventory *inventory, const char *base,
                     struct sq_error *error)
{
    if (!sq_node_is_there(runs))
        return 0;
    if (sq_node_expect(runs, SQ_NODE_SCALAR, "'runs'", error) != 0)
        return -1;
    if (sq_node_text(runs)[0] == '\0' || !resolve(base, sq_node_text(runs), inventory->runs))
        return sq_node_fail(runs, error, SQ_BAD_INPUT,
                            "'runs' is the path of a folder, shorter than %d bytes", PATH_MAX);
    return 0;
}

const char *const sq_controller_keys[] = {"prometheus", "tls", "runs", NULL};

static void read_controller(struct sq_inventory_reader *reader, struct sq_node root, const char *base)
{
    struct sq_error error;
    if (!sq_problems_check_keys(reader->problems, root, "the controller's file", sq_controller_keys,
                                sizeof sq_controller_keys / sizeof sq_controller_keys[0] - 1) &&
        sq_node_type(root) != SQ_NODE_MAP)
        return;
    (void)sq_problems_note(reader->problems,
                           read_prometheus(sq_node_get(root, "prometheus"), reader->inventory, &error),
                           &error);
    read_tls(reader, sq_node_get(root, "tls"), base);
    (void)sq_problems_note(reader->problems,
                           read_runs(sq_node_get(root, "runs"), reader->inventory, base, &error), &error);
}

/* The operator's own settings, for a file_sd file that says nothing of TLS and Prometheus. May be absent. */
static void read_controller_file(struct sq_inventory_reader *reader)
{
    struct sq_error error;
    const char *given = getenv(CONTROLLER_FILE_VARIABLE);
    bool is_given = given != NULL && given[0] != '\0';
    const char *path = is_given ? given : CONTROLLER_FILE;
    if (!is_given && access(path, F_OK) != 0)
        return;
    sq_autodocument struct sq_document *document = NULL;
    if (sq_problems_note(reader->problems, sq_document_load(path, &document, &error), &error))
        read_controller(reader, sq_document_root(document), path);
}

struct entry {
    const char *key;
    uint32_t index;
};

static int by_key(const void *left, const void *right)
{
    const struct entry *a = left;
    const struct entry *b = right;
    int order = strcmp(a->key, b->key);
    return order != 0 ? order : a->index < b->index ? -1 : 1;
}

static int fail_twice(const struct sq_inventory_reader *reader, uint32_t first, uint32_t second, bool is_name,
                      struct sq_error *error)
{
    const struct sq_host *hosts = reader->inventory->hosts;
    const struct sq_host_place *a = &reader->places[first];
    const struct sq_host_place *b = &reader->places[second];
    char where[SQ_PATH_TEXT_MAX + 40];
    if (a->file == b->file)
        (void)snprintf(where, sizeof where, "on line %zu", a->line);
    else
        (void)snprintf(where, sizeof where, "at %s:%zu", reader->files[a->file], a->line);
    if (is_name)
        return sq_fail(error, SQ_BAD_INPUT, "%s:%zu:%zu: the host '%s' stands here twice; it was first %s",
                       reader->files[b->file], b->line, b->column, hosts[second].name, where);
    return sq_fail(
        error, SQ_BAD_INPUT,
        "%s:%zu:%zu: the hosts '%.50s' and '%.50s' (%s) have one agent, %.100s; a host has one name",
        reader->files[b->file], b->line, b->column, hosts[second].name, hosts[first].name, where,
        hosts[second].agent);
}

static void check_unique(const struct sq_inventory_reader *reader, bool by_name)
{
    struct sq_error error;
    uint32_t count = reader->inventory->host_count;
    const struct sq_host *hosts = reader->inventory->hosts;
    sq_autofree struct entry *entries = calloc((size_t)count + 1, sizeof *entries);
    if (entries == NULL) {
        (void)sq_problems_note(reader->problems, sq_fail(&error, SQ_SYSTEM, "out of memory"), &error);
        return;
    }
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++)
        if (hosts[i].agent[0] != '\0') /* else its URL was refused already */
            entries[used++] = (struct entry){.key = by_name ? hosts[i].name : hosts[i].agent, .index = i};
    qsort(entries, used, sizeof *entries, by_key);
    for (uint32_t i = 1; i < used; i++)
        if (strcmp(entries[i - 1].key, entries[i].key) == 0)
            (void)sq_problems_note(
                reader->problems, fail_twice(reader, entries[i - 1].index, entries[i].index, by_name, &error),
                &error);
}

static int check_tls(const struct sq_inventory_reader *reader, bool is_file_sd, struct sq_error *error)
{
    const struct sq_inventory *inventory = reader->inventory;
    for (uint32_t i = 0; i < inventory->host_count && inventory->tls_certificate[0] == '\0'; i++) {
        const struct sq_host_place *place = &reader->places[i];
        if (sq_agent_url_is_tls(inventory->hosts[i].agent))
            return sq_fail(error, SQ_BAD_INPUT,
                           "%s:%zu:%zu: the agent of '%s' is reached by TLS, and there is no 'tls' section; "
                           "expected tls: "
                           "{certificate: FILE, key: FILE, agents: FILE}%s",
                           reader->files[place->file], place->line, place->column, inventory->hosts[i].name,
                           is_file_sd ? " in " CONTROLLER_FILE " or the file that " CONTROLLER_FILE_VARIABLE
                                        " names"
                                      : "");
    }
    return 0;
}

static void check_whole(const struct sq_inventory_reader *reader, bool is_file_sd)
{
    struct sq_error error;
    if (reader->inventory->host_count == 0 && reader->problems->error_count == 0)
        (void)sq_problems_note(
            reader->problems,
            sq_fail(&error, SQ_BAD_INPUT,
                    "%s: there are no hosts; expected `hosts:` with a name and an agent each",
                    reader->inventory->path),
            &error);
    check_unique(reader, true);
    check_unique(reader, false);
    (void)sq_problems_note(reader->problems, check_tls(reader, is_file_sd, &error), &error);
}

const char *const sq_inventory_keys[] = {"prometheus", "tls", "runs", "hosts", "file_sd", NULL};

static void read_inventory(struct sq_inventory_reader *reader, struct sq_node root)
{
    struct sq_error error;
    if (sq_node_type(root) == SQ_NODE_LIST) {
        sq_file_sd_read(reader, root);
        if (reader->on_disk)
            read_controller_file(reader);
        check_whole(reader, true);
        return;
    }
    if (!sq_node_is_there(root)) {
        (void)sq_problems_note(reader->problems,
                               sq_fail(&error, SQ_BAD_INPUT, "%s: the file is empty; expected an inventory",
                                       reader->inventory->path),
                               &error);
        return;
    }
    if (!sq_problems_check_keys(reader->problems, root, "the inventory", sq_inventory_keys,
                                sizeof sq_inventory_keys / sizeof sq_inventory_keys[0] - 1) &&
        sq_node_type(root) != SQ_NODE_MAP)
        return;
    (void)sq_problems_note(reader->problems,
                           read_prometheus(sq_node_get(root, "prometheus"), reader->inventory, &error),
                           &error);
    read_tls(reader, sq_node_get(root, "tls"), reader->base);
    (void)sq_problems_note(reader->problems,
                           read_runs(sq_node_get(root, "runs"), reader->inventory, reader->base, &error),
                           &error);
    read_hosts(reader, sq_node_get(root, "hosts"));
    read_file_sd(reader, sq_node_get(root, "file_sd"));
    check_whole(reader, false);
}

/* `base` and `on_disk` as in the reader. */
static int examine(struct sq_document *document, const char *base, bool on_disk,
                   struct sq_inventory **inventory, struct sq_problems *problems)
{
    struct sq_error error;
    sq_auto(reader_free) struct sq_inventory_reader reader = {
        .base = base, .on_disk = on_disk, .problems = problems};
    if (!sq_problems_note(problems, reader_init(&reader, sq_document_name(document), &error), &error))
        return -1;
    read_inventory(&reader, sq_document_root(document));
    if (problems->error_count > 0)
        return -1;
    *inventory = sq_take(reader.inventory);
    return 0;
}

int sq_inventory_examine(const struct sq_input *input, struct sq_inventory **inventory,
                         struct sq_problems *problems)
{
    struct sq_error error;
    sq_autodocument struct sq_document *document = NULL;
    if (!sq_problems_note(problems, sq_input_document(input, &document, &error), &error))
        return -1;
    return examine(document, input->is_stream ? "" : input->path, true, inventory, problems);
}

int sq_controller_examine(const struct sq_input *input, struct sq_inventory **inventory,
                          struct sq_problems *problems)
{
    struct sq_error error;
    sq_autodocument struct sq_document *document = NULL;
    const char *base = input->is_stream ? "" : input->path;
    sq_auto(reader_free) struct sq_inventory_reader reader = {.on_disk = true, .problems = problems};
    if (!sq_problems_note(problems, sq_input_document(input, &document, &error), &error) ||
        !sq_problems_note(problems, reader_init(&reader, input->path, &error), &error))
        return -1;
    read_controller(&reader, sq_document_root(document), base);
    if (problems->error_count > 0)
        return -1;
    *inventory = sq_take(reader.inventory);
    return 0;
}

int sq_inventory_read(const struct sq_input *input, struct sq_inventory **inventory, struct sq_error *error)
{
    sq_autoproblems struct sq_problems problems = {0};
    if (sq_inventory_examine(input, inventory, &problems) == 0)
        return 0;
    return sq_problems_first(&problems, error);
}

int sq_inventory_load(const char *path, struct sq_inventory **inventory, struct sq_error *error)
{
    sq_autoinput struct sq_input input = {0};
    if (sq_input_read(path, &input, error) != 0)
        return -1;
    return sq_inventory_read(&input, inventory, error);
}

int sq_inventory_parse(const char *name, const char *content, size_t length, struct sq_inventory **inventory,
                       struct sq_error *error)
{
    sq_autodocument struct sq_document *document = NULL;
    if (sq_document_parse(name, content, length, &document, error) != 0)
        return -1;
    sq_autoproblems struct sq_problems problems = {0};
    if (examine(document, name, false, inventory, &problems) == 0)
        return 0;
    return sq_problems_first(&problems, error);
}
