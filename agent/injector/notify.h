/* The readiness protocol of sd_notify(3): one datagram to the socket that NOTIFY_SOCKET names. */
#ifndef SQ_INJECTOR_NOTIFY_H
#define SQ_INJECTOR_NOTIFY_H

/* Send `state` ("READY=1"). Does nothing without NOTIFY_SOCKET; a failure is no reason to stop. */
void sq_notify(const char *state);

#endif
