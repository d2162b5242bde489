#include "ipc/requester.h"

#include "common/text.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>

void sq_requester_format(const struct sq_requester *requester, char text[SQ_REQUESTER_TEXT_MAX])
{
    if (requester->family == 0)
        (void)snprintf(text, SQ_REQUESTER_TEXT_MAX, "uid %" PRIu32, requester->uid);
    else if (inet_ntop(requester->family == 4 ? AF_INET : AF_INET6, requester->address, text,
                       SQ_REQUESTER_TEXT_MAX) == NULL)
        (void)sq_text_copy(text, SQ_REQUESTER_TEXT_MAX, "unknown address");
}
