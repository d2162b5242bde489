/* Who asked, for people: in logs of both processes. */
#ifndef SQ_IPC_REQUESTER_H
#define SQ_IPC_REQUESTER_H

#include "table/message.h"

/* An address, or "uid 1000". */
#define SQ_REQUESTER_TEXT_MAX 64
void sq_requester_format(const struct sq_requester *requester, char text[SQ_REQUESTER_TEXT_MAX]);

#endif
