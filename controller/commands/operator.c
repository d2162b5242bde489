#include "commands/operator.h"

#include "common/text.h"

#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

void sq_operator_name(char name[SQ_NAME_MAX])
{
    char host[HOST_NAME_MAX + 1] = "";
    const struct passwd *user = getpwuid(getuid());
    const char *sudo_user = getuid() == 0 ? getenv("SUDO_USER") : NULL;
    (void)gethostname(host, sizeof(host) - 1);
    name[0] = '\0';
    if (sudo_user != NULL && sudo_user[0] != '\0')
        sq_text_append(name, SQ_NAME_MAX, "%s@%s", sudo_user, host);
    else if (user != NULL)
        sq_text_append(name, SQ_NAME_MAX, "%s@%s", user->pw_name, host);
    else
        sq_text_append(name, SQ_NAME_MAX, "uid %u@%s", (unsigned)getuid(), host);
    sq_text_make_printable(name);
}
