#include "commands/inventory.h"

#include "commands/options.h"
#include "reading/input.h"
#include "reading/inventory.h"
#include "reading/kind.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int sq_command_inventory(const struct sq_options *options, bool or_local, struct sq_inventory **inventory,
                         struct sq_error *error)
{
    const char *from_environment = getenv("SQUALL_HOSTS");
    bool is_named = options->hosts_given || (from_environment != NULL && from_environment[0] != '\0');
    if (!is_named && access(options->hosts_path, F_OK) != 0 && errno == ENOENT)
        return sq_fail(
            error, SQ_BAD_INPUT,
            "there is no inventory: name one with --hosts FILE or in SQUALL_HOSTS, or put it where "
            "it is looked for, at %s%s; docs/inventory.md says what is in it",
            options->hosts_path, or_local ? "; or try this machine alone, with --local" : "");
    sq_autoinput struct sq_input input = {0};
    if (sq_input_read(options->hosts_path, &input, error) != 0)
        return -1;
    if (sq_inventory_read(&input, inventory, error) == 0)
        return 0;
    sq_file_kind_explain(&input, SQ_FILE_INVENTORY, error);
    return -1;
}
